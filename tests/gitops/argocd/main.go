// Command argocd-engine runs Argo CD's own code over this project's files, for tests/gitops and `make gitops`.
//
// It is Argo CD's Lua VM, settings, tracking and comparison (github.com/argoproj/argo-cd/v3) on its sync engine
// (gitops-engine), at the versions of go.mod. What lies between those packages in Argo CD is in package controller, which
// needs Redis, a repository server and a git repository: here a file of manifests takes their place, and engine.go makes
// the calls that controller/state.go and controller/sync.go make. It never runs in a cluster and is not shipped.
//
//	argocd-engine fixtures DIR           run the tests of every health check and action in DIR, a copy of upstream's layout
//	argocd-engine compare --manifests F  say what Argo CD shows: sync status and health of each resource, as JSON
//	argocd-engine sync --manifests F     one sync operation, to its end, as JSON
//	argocd-engine action --manifests F KIND/NAMESPACE/NAME ACTION
package main

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"time"

	"github.com/go-logr/logr"
	"github.com/sirupsen/logrus"
	"k8s.io/klog/v2/textlogger"
)

func main() {
	quiet()
	code, err := run(os.Args[1:])
	if err != nil {
		fmt.Fprintln(os.Stderr, "argocd-engine:", err)
		code = 2
	}
	os.Exit(code)
}

// quiet sends what the libraries log to nowhere, unless ARGOCD_ENGINE_LOG is set: standard output is for the answer.
func quiet() {
	if !verbose() {
		logrus.SetOutput(io.Discard)
	}
}

func engineLog() logr.Logger {
	if verbose() {
		return textlogger.NewLogger(textlogger.NewConfig())
	}
	return logr.Discard()
}

func verbose() bool { return os.Getenv("ARGOCD_ENGINE_LOG") != "" }

// options are those of Argo CD's Application that make a difference here.
type options struct {
	manifests, kubeconfig, namespace, app, settingsNamespace string
	prune, serverSide, selfHeal                              bool
	timeout                                                  time.Duration
}

func run(args []string) (int, error) {
	if len(args) == 0 {
		return 0, errors.New("usage: argocd-engine fixtures|compare|sync|action …")
	}
	command, args := args[0], args[1:]
	if command == "fixtures" {
		if len(args) != 1 {
			return 0, errors.New("usage: argocd-engine fixtures DIR")
		}
		return fixtures(args[0])
	}
	var o options
	flags := flag.NewFlagSet(command, flag.ContinueOnError)
	flags.StringVar(&o.manifests, "manifests", "", "`FILE` with the objects of the revision (required)")
	flags.StringVar(&o.kubeconfig, "kubeconfig", os.Getenv("KUBECONFIG"), "`FILE` for the API server")
	flags.StringVar(&o.namespace, "namespace", "default", "destination namespace of the Application")
	flags.StringVar(&o.app, "app", "app", "name of the Application, by which its objects are tracked")
	flags.StringVar(&o.settingsNamespace, "settings-namespace", "argocd", "where argocd-cm is")
	flags.BoolVar(&o.prune, "prune", false, "delete what is not in the revision any more")
	flags.BoolVar(&o.serverSide, "server-side", false, "sync option ServerSideApply=true")
	flags.BoolVar(&o.selfHeal, "self-heal", false, "sync only the resources that are OutOfSync, as self-heal does")
	flags.DurationVar(&o.timeout, "timeout", 2*time.Minute, "terminate the operation after so long")
	if err := flags.Parse(args); err != nil {
		return 0, err
	}
	ctx, cancel := context.WithTimeout(context.Background(), o.timeout+time.Minute)
	defer cancel()
	engine, err := newEngine(ctx, o)
	if err != nil {
		return 0, err
	}
	defer engine.close()
	switch command {
	case "compare":
		state, err := engine.compare(ctx)
		if err != nil {
			return 0, err
		}
		return 0, print(state.report())
	case "sync":
		operation, err := engine.sync(ctx)
		if err != nil {
			return 0, err
		}
		code := 0
		if !operation.Phase.Successful() {
			code = 1
		}
		return code, print(operation)
	case "action":
		if flags.NArg() != 2 {
			return 0, errors.New("usage: argocd-engine action … KIND/NAMESPACE/NAME ACTION")
		}
		return 0, engine.action(ctx, flags.Arg(0), flags.Arg(1))
	default:
		return 0, fmt.Errorf("unknown command %q: must be fixtures, compare, sync or action", command)
	}
}

func print(answer any) error {
	encoder := json.NewEncoder(os.Stdout)
	encoder.SetIndent("", "  ")
	return encoder.Encode(answer)
}
