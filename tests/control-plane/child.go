package main

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"
	"time"
)

// logTailLines is how much of a component's log is shown when it dies.
const logTailLines = 15

// child is one running component. Its output goes to DIR/<name>.log.
type child struct {
	name    string
	logPath string
	process *os.Process
	exited  chan struct{} // closed once the process is gone
}

// startChild starts a component that the kernel kills when this process ends, however it ends.
func startChild(dir, name string, from program, flags ...string) (*child, error) {
	// The parent-death signal follows the *thread* that forked, so the main goroutine keeps to one thread.
	runtime.LockOSThread()
	logPath := filepath.Join(dir, name+".log")
	log, err := os.Create(logPath)
	if err != nil {
		return nil, err
	}
	defer log.Close()
	command := exec.Command(from.path, append(from.prefix[:len(from.prefix):len(from.prefix)], flags...)...)
	command.Dir = dir
	command.Stdout, command.Stderr = log, log
	command.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL, Setpgid: true}
	if err := command.Start(); err != nil {
		return nil, fmt.Errorf("start %s: %w", name, err)
	}
	started := &child{name: name, logPath: logPath, process: command.Process, exited: make(chan struct{})}
	go func() {
		_ = command.Wait()
		close(started.exited)
	}()
	return started, nil
}

// died explains an exit that nobody asked for.
func (c *child) died() error {
	log, _ := os.ReadFile(c.logPath)
	lines := strings.Split(strings.TrimSpace(string(log)), "\n")
	if len(lines) > logTailLines {
		lines = lines[len(lines)-logTailLines:]
	}
	return fmt.Errorf("%s ended by itself; the end of %s:\n%s", c.name, c.logPath, strings.Join(lines, "\n"))
}

// stop asks for an orderly end and kills after `patience`.
func (c *child) stop(patience time.Duration) {
	_ = c.process.Signal(syscall.SIGTERM)
	select {
	case <-c.exited:
	case <-time.After(patience):
		c.kill()
	}
}

// kill ends it as a crash would.
func (c *child) kill() {
	_ = c.process.Kill()
	<-c.exited
}
