package main

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/base64"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httputil"
	"net/url"
	"os"
	"path/filepath"
	"time"
)

// access is how this process, and everybody who reads the kubeconfig, reaches the API server as cluster admin.
type access struct {
	dir, kubeconfig, token string
	port                   int
}

func certDir(dir string) string         { return filepath.Join(dir, "certificates") }
func signingKeyFile(dir string) string  { return filepath.Join(dir, "service-account.key") }
func tokenFile(dir string) string       { return filepath.Join(dir, "tokens.csv") }
func auditPolicyFile(dir string) string { return filepath.Join(dir, "audit-policy.yaml") }

// prepareAccess writes what kube-apiserver reads at its start. The signing key outlives a restart, else the
// ServiceAccount tokens that were handed out would die with it; the admin's token need not.
func prepareAccess(dir string, port int) (access, error) {
	token := rand.Text()
	if err := os.WriteFile(tokenFile(dir), []byte(token+",admin,admin,system:masters\n"), 0o600); err != nil {
		return access{}, err
	}
	if _, err := os.Stat(signingKeyFile(dir)); err != nil {
		if err := writeSigningKey(signingKeyFile(dir)); err != nil {
			return access{}, err
		}
	}
	kubeconfig := filepath.Join(dir, "kubeconfig")
	// One of an earlier run names a port that may be somebody else's by now.
	if err := os.RemoveAll(kubeconfig); err != nil {
		return access{}, err
	}
	return access{dir: dir, kubeconfig: kubeconfig, token: token, port: port}, nil
}

// writeAuditPolicy asks for as much as anybody logs: bodies of all but what is secret by its kind.
func writeAuditPolicy(path string) error {
	return os.WriteFile(path, []byte(`apiVersion: audit.k8s.io/v1
kind: Policy
omitStages: [RequestReceived]
rules:
- level: Metadata
  resources: [{group: "", resources: [secrets, serviceaccounts/token]}]
- level: RequestResponse
`), 0o600)
}

func writeSigningKey(path string) error {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return err
	}
	der, err := x509.MarshalECPrivateKey(key)
	if err != nil {
		return err
	}
	return os.WriteFile(path, pem.EncodeToMemory(&pem.Block{Type: "EC PRIVATE KEY", Bytes: der}), 0o600)
}

// ready asks /readyz with what the kubeconfig holds, and writes the kubeconfig when the answer is ok.
func (a access) ready(ctx context.Context) bool {
	body, err := a.get(ctx, "/readyz")
	if err != nil || string(body) != "ok" {
		return false
	}
	authority, _, err := a.authority()
	return err == nil && a.writeKubeconfig(authority) == nil
}

// get asks the API server for a path.
func (a access) get(ctx context.Context, path string) ([]byte, error) {
	_, roots, err := a.authority()
	if err != nil {
		return nil, err
	}
	transport := &http.Transport{TLSClientConfig: &tls.Config{RootCAs: roots}, DisableKeepAlives: true}
	client := http.Client{Transport: transport, Timeout: 5 * time.Second}
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, a.server()+path, nil)
	if err != nil {
		return nil, err
	}
	request.Header.Set("Authorization", "Bearer "+a.token)
	answer, err := client.Do(request)
	if err != nil {
		return nil, err
	}
	defer answer.Body.Close()
	body, err := io.ReadAll(answer.Body)
	if err == nil && answer.StatusCode != http.StatusOK {
		err = fmt.Errorf("the API server answers %s to %s", answer.Status, path)
	}
	return body, err
}

// authority reads what kube-apiserver wrote itself: its leaf certificate, then the authority that signed it.
func (a access) authority() ([]byte, *x509.CertPool, error) {
	authority, err := os.ReadFile(filepath.Join(certDir(a.dir), "apiserver.crt"))
	roots := x509.NewCertPool()
	if err == nil && !roots.AppendCertsFromPEM(authority) {
		err = errors.New("apiserver.crt holds no certificate")
	}
	return authority, roots, err
}

// serveProxy lets everybody on loopback in as cluster admin by plain HTTP, at the address in DIR/proxy-url: for tests, which
// look at objects too often to start a kubectl each time.
func (a access) serveProxy() error {
	_, roots, err := a.authority()
	if err != nil {
		return err
	}
	server, err := url.Parse(a.server())
	if err != nil {
		return err
	}
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	proxy := &httputil.ReverseProxy{
		Transport: &http.Transport{TLSClientConfig: &tls.Config{RootCAs: roots}},
		Rewrite: func(request *httputil.ProxyRequest) {
			request.SetURL(server)
			request.Out.Header.Set("Authorization", "Bearer "+a.token)
		},
	}
	go func() { _ = http.Serve(listener, proxy) }()
	return os.WriteFile(filepath.Join(a.dir, "proxy-url"), []byte("http://"+listener.Addr().String()), 0o600)
}

func (a access) server() string { return fmt.Sprintf("https://127.0.0.1:%d", a.port) }

func (a access) writeKubeconfig(authority []byte) error {
	text := fmt.Sprintf(`apiVersion: v1
kind: Config
current-context: control-plane
contexts:
- name: control-plane
  context: {cluster: control-plane, user: admin}
clusters:
- name: control-plane
  cluster:
    server: %s
    certificate-authority-data: %s
users:
- name: admin
  user: {token: %s}
`, a.server(), base64.StdEncoding.EncodeToString(authority), a.token)
	return os.WriteFile(a.kubeconfig, []byte(text), 0o600)
}
