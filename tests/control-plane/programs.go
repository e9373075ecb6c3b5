package main

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
)

// program is how to start one component: the path of a binary and the arguments that come before its flags.
type program struct {
	path   string
	prefix []string
}

// programs of a control plane; without a manager nothing collects garbage and namespaces never finish deleting.
type programs struct {
	etcd, apiserver program
	manager         *program
}

// findPrograms takes the binaries of `assets` (KUBEBUILDER_ASSETS) if it is set, else this binary itself.
// A kube-controller-manager is not part of the usual assets, so there it is used only if it exists.
func findPrograms(assets string, wantManager bool) (programs, error) {
	if assets == "" {
		return findBuiltIn(wantManager)
	}
	found := programs{
		etcd:      program{path: filepath.Join(assets, "etcd")},
		apiserver: program{path: filepath.Join(assets, "kube-apiserver")},
	}
	for _, path := range []string{found.etcd.path, found.apiserver.path} {
		if _, err := os.Stat(path); err != nil {
			return programs{}, fmt.Errorf("KUBEBUILDER_ASSETS must hold etcd and kube-apiserver: %w", err)
		}
	}
	manager := program{path: filepath.Join(assets, "kube-controller-manager")}
	if _, err := os.Stat(manager.path); err == nil && wantManager {
		found.manager = &manager
	}
	return found, nil
}

func findBuiltIn(wantManager bool) (programs, error) {
	if !builtIn {
		return programs{}, errors.New("built with the tag `external`: set KUBEBUILDER_ASSETS, or build without the tag")
	}
	self, err := os.Executable()
	if err != nil {
		return programs{}, err
	}
	found := programs{
		etcd:      program{path: self, prefix: []string{"etcd"}},
		apiserver: program{path: self, prefix: []string{"kube-apiserver"}},
	}
	if wantManager {
		found.manager = &program{path: self, prefix: []string{"kube-controller-manager"}}
	}
	return found, nil
}
