// Command control-plane runs a throw-away Kubernetes control plane on loopback, for the tests and the demo.
//
// It is the real thing: etcd, kube-apiserver and kube-controller-manager, with RBAC and admission on. There is
// no scheduler and no kubelet, so Pods stay Pending. Nothing here is hardened: etcd listens without TLS and one
// static token is cluster admin. Never expose it.
//
// One binary holds all three programs and starts itself again as each of them, because kube-apiserver and
// kube-controller-manager cannot share a process (both configure the logging globals; the second one exits).
// With KUBEBUILDER_ASSETS set, the programs of that directory run instead, with the same flags.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"path/filepath"
	"syscall"
)

func main() {
	if len(os.Args) > 1 {
		becomeComponent(os.Args[1])
	}
	if err := run(os.Args[1:]); err != nil && !errors.Is(err, flag.ErrHelp) {
		fmt.Fprintln(os.Stderr, "control-plane:", err)
		os.Exit(1)
	}
}

func run(args []string) error {
	flags := flag.NewFlagSet("control-plane", flag.ContinueOnError)
	dataDir := flags.String("data-dir", "", "`DIR` for data, logs and kubeconfig; starting again over it keeps everything (required)")
	manager := flags.Bool("controller-manager", true, "run kube-controller-manager: garbage collection, namespace deletion, default ServiceAccounts")
	stdin := flags.Bool("stop-on-stdin-eof", false, "stop as soon as standard input ends, so that a parent that was killed leaves nothing behind")
	lock := flags.String("pool", "", "serve one user after another, those who hold the lock on `FILE`; ends by itself when none has come for a minute")
	audit := flags.Bool("audit", false, "write DIR/audit.log: every request and answer in full, those about Secrets and tokens without their bodies")
	if err := flags.Parse(args); err != nil {
		return err
	}
	if *dataDir == "" || flags.NArg() > 0 {
		return errors.New("usage: control-plane --data-dir DIR [--controller-manager=false] [--audit] [--stop-on-stdin-eof]")
	}
	dir, err := filepath.Abs(*dataDir)
	if err != nil {
		return err
	}
	programs, err := findPrograms(os.Getenv("KUBEBUILDER_ASSETS"), *manager)
	if err != nil {
		return err
	}

	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM, syscall.SIGINT)
	defer stop()
	if *stdin {
		go func() {
			_, _ = io.Copy(io.Discard, os.Stdin)
			stop()
		}()
	}
	return serve(ctx, dir, *audit, *lock, programs)
}
