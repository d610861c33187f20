//go:build tools

// Package tools pins what the tests build: go.mod alone would lose what nothing imports.
package tools

import (
	_ "go.etcd.io/etcd/server/v3"
	_ "k8s.io/kubernetes/cmd/kube-apiserver"
)
