//go:build external

package main

// A build with the tag `external` compiles no Kubernetes module: it takes seconds, and only KUBEBUILDER_ASSETS works.
const builtIn = false

func becomeComponent(string) {}
