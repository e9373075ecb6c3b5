package main

import (
	"context"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"strconv"
	"syscall"
	"time"
)

const (
	// startTimeout is generous: several control planes may start at once on two cores.
	startTimeout = 120 * time.Second
	pollInterval = 25 * time.Millisecond
	stopPatience = 15 * time.Second
)

// serve runs a control plane over `dir` until `ctx` ends. It prints `ready` once it is, and again after each SIGHUP, on
// which kube-apiserver is killed and started again over the same etcd and port. Where etcd listens is in `dir`/etcd-url. With `lock` it is
// one of a pool.
func serve(ctx context.Context, dir string, audit bool, lock string, from programs) (err error) {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return err
	}
	ports, release, err := reservePorts(3)
	if err != nil {
		return err
	}
	defer release()
	access, err := prepareAccess(dir, ports[2])
	if err != nil {
		return err
	}
	if audit {
		if err := writeAuditPolicy(auditPolicyFile(dir)); err != nil {
			return err
		}
	}

	if lock != "" {
		if err := os.WriteFile(filepath.Join(dir, "pid"), []byte(strconv.Itoa(os.Getpid())), 0o600); err != nil {
			return err
		}
	}

	var running []*child
	defer func() {
		if lock != "" {
			return // The kernel kills them, and nobody reads what they would still write.
		}
		// Clients first: kube-apiserver waits for open watches, and etcd for nobody.
		for i := len(running) - 1; i >= 0; i-- {
			running[i].stop(stopPatience)
		}
	}()
	start := func(name string, from program, flags []string) (*child, error) {
		started, err := startChild(dir, name, from, flags...)
		if err == nil {
			running = append(running, started)
		}
		return started, err
	}

	etcdURL := fmt.Sprintf("http://127.0.0.1:%d", ports[0])
	if err := os.WriteFile(filepath.Join(dir, "etcd-url"), []byte(etcdURL), 0o600); err != nil {
		return err
	}
	etcd, err := start("etcd", from.etcd, etcdFlags(dir, etcdURL, ports[1]))
	if err != nil {
		return err
	}
	startAPIServer := func() (*child, error) {
		flags := apiserverFlags(dir, etcdURL, ports[2], from.manager != nil)
		if audit {
			flags = append(flags, "--audit-policy-file="+auditPolicyFile(dir), "--audit-log-path="+filepath.Join(dir, "audit.log"))
		}
		apiserver, err := start("kube-apiserver", from.apiserver, flags)
		if err != nil {
			return nil, err
		}
		return apiserver, waitReady(ctx, access, etcd, apiserver)
	}
	apiserver, err := startAPIServer()
	if err != nil || ctx.Err() != nil {
		return err
	}
	if err := access.serveProxy(); err != nil {
		return err
	}
	startManager := func() (*child, error) {
		if from.manager == nil {
			return &child{exited: make(chan struct{})}, nil // never exits
		}
		return start("kube-controller-manager", *from.manager, managerFlags(access.kubeconfig))
	}
	manager, err := startManager()
	if err != nil {
		return err
	}
	restarts, unwanted := make(chan restart), make(chan error)
	if lock != "" {
		pool := &pool{dir: dir, lock: lock, store: newStore(etcdURL), access: access, restart: func(between func() error) error {
			request := restart{between: between, done: make(chan error)}
			restarts <- request
			return <-request.done
		}}
		if err := pool.serve(); err != nil {
			return err
		}
		go func() { unwanted <- pool.watch(ctx) }()
	}
	hangups := make(chan os.Signal, 1)
	signal.Notify(hangups, syscall.SIGHUP)
	for {
		fmt.Println("ready")
		select {
		case <-ctx.Done():
			return nil
		case <-etcd.exited:
			return etcd.died()
		case <-apiserver.exited:
			return apiserver.died()
		case <-manager.exited:
			return manager.died()
		case err := <-unwanted:
			return err
		case <-hangups:
			apiserver.kill()
			if apiserver, err = startAPIServer(); err != nil || ctx.Err() != nil {
				return err
			}
		case request := <-restarts:
			apiserver.kill()
			if from.manager != nil {
				manager.kill()
			}
			if err = request.between(); err == nil {
				apiserver, err = startAPIServer()
			}
			if err == nil {
				manager, err = startManager()
			}
			request.done <- err
			if err != nil || ctx.Err() != nil {
				return err
			}
		}
	}
}

// restart asks for new processes over the same etcd, and for something to be done while there are none.
type restart struct {
	between func() error
	done    chan error
}

// waitReady returns when /readyz is ok through the kubeconfig: an open port means little.
func waitReady(ctx context.Context, access access, etcd, apiserver *child) error {
	deadline := time.After(startTimeout)
	for !access.ready(ctx) {
		select {
		case <-ctx.Done():
			return nil
		case <-etcd.exited:
			return etcd.died()
		case <-apiserver.exited:
			return apiserver.died()
		case <-deadline:
			return fmt.Errorf("not ready after %s; see %s", startTimeout, apiserver.logPath)
		case <-time.After(pollInterval):
		}
	}
	return nil
}

func etcdFlags(dir, client string, peerPort int) []string {
	peer := fmt.Sprintf("http://127.0.0.1:%d", peerPort)
	return []string{
		"--name=test", "--data-dir=" + filepath.Join(dir, "etcd"),
		"--listen-client-urls=" + client, "--advertise-client-urls=" + client,
		"--listen-peer-urls=" + peer, "--initial-advertise-peer-urls=" + peer, "--initial-cluster=test=" + peer,
		"--socket-reuse-port", "--unsafe-no-fsync", "--log-level=warn",
		// The reset of a pool is one transaction.
		"--max-txn-ops=100000", "--max-request-bytes=33554432",
	}
}

func apiserverFlags(dir, etcdURL string, port int, withManager bool) []string {
	flags := []string{
		"--etcd-servers=" + etcdURL,
		"--bind-address=127.0.0.1", fmt.Sprintf("--secure-port=%d", port), "--permit-port-sharing",
		"--cert-dir=" + certDir(dir),
		"--service-account-issuer=https://kubernetes.default.svc",
		"--service-account-key-file=" + signingKeyFile(dir),
		"--service-account-signing-key-file=" + signingKeyFile(dir),
		"--token-auth-file=" + tokenFile(dir),
		"--authorization-mode=RBAC",
		"--service-cluster-ip-range=10.0.0.0/24",
		"--endpoint-reconciler-type=none",
	}
	if !withManager {
		// Nobody makes the default ServiceAccounts that this plug-in wants to see in every namespace.
		flags = append(flags, "--disable-admission-plugins=ServiceAccount")
	}
	return flags
}

func managerFlags(kubeconfig string) []string {
	return []string{
		"--kubeconfig=" + kubeconfig,
		// The last one fills the built-in roles view, edit and admin from the labelled ones.
		"--controllers=garbage-collector-controller,namespace-controller,serviceaccount-controller,clusterrole-aggregation-controller",
		"--leader-elect=false",
		"--secure-port=0",
	}
}
