package main

import (
	"fmt"
	"syscall"
)

// soReusePort is SO_REUSEPORT of Linux, which package syscall does not name on every architecture.
const soReusePort = 0xf

// reservePorts finds free loopback ports and keeps them from everybody else until `release`. Each stays bound,
// but does not listen, with SO_REUSEPORT: etcd and kube-apiserver bind it too because they are told to share,
// while the kernel hands it to nobody who asks for any free port. Choosing a port and closing it again would
// now and then lose it to another control plane that starts at the same moment.
func reservePorts(count int) (ports []int, release func(), err error) {
	var sockets []int
	release = func() {
		for _, socket := range sockets {
			_ = syscall.Close(socket)
		}
	}
	for range count {
		socket, port, err := reservePort()
		if err != nil {
			release()
			return nil, nil, fmt.Errorf("reserve a loopback port: %w", err)
		}
		sockets, ports = append(sockets, socket), append(ports, port)
	}
	return ports, release, nil
}

func reservePort() (socket, port int, err error) {
	socket, err = syscall.Socket(syscall.AF_INET, syscall.SOCK_STREAM|syscall.SOCK_CLOEXEC, 0)
	if err != nil {
		return 0, 0, err
	}
	defer func() {
		if err != nil {
			_ = syscall.Close(socket)
		}
	}()
	if err = syscall.SetsockoptInt(socket, syscall.SOL_SOCKET, soReusePort, 1); err != nil {
		return 0, 0, err
	}
	if err = syscall.Bind(socket, &syscall.SockaddrInet4{Addr: [4]byte{127, 0, 0, 1}}); err != nil {
		return 0, 0, err
	}
	name, err := syscall.Getsockname(socket)
	if err != nil {
		return 0, 0, err
	}
	address, ok := name.(*syscall.SockaddrInet4)
	if !ok {
		return 0, 0, fmt.Errorf("unexpected address %v", name)
	}
	return socket, address.Port, nil
}
