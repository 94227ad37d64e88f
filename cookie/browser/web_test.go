//go:build linux

package browser

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/base64"
	"encoding/pem"
	"fmt"
	"html"
	"io"
	"log"
	"maps"
	"math/big"
	"net"
	"net/http"
	"net/http/cgi"
	"net/http/httptest"
	"net/url"
	"os"
	"path"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"cgisession/cmd/cmdtest"
)

// A web is every site there is: one http and one https server on loopback ports
// that answer for all host names alike. The last part of a URL's path says what
// a page does:
//
//	load, lazy, renew, logout    the CGI script in testdata, with the settings
//	login.sh                     the example
//	hand                         sets the cookie that ?line= writes
//	anything else                nothing
type web struct {
	t        *testing.T
	ports    map[string]string // by scheme
	dir      string            // holds the sessions
	mu       sync.Mutex
	settings []string
	seen     map[string]exchange // by URL without the port
}

// An exchange is what a request and its answer said of cookies.
type exchange struct {
	sent string   // the request's Cookie header
	set  []string // the answer's Set-Cookie lines
}

func newWeb(t *testing.T) *web {
	w := &web{t: t, dir: filepath.Join(t.TempDir(), "sessions"), seen: make(map[string]exchange)}
	plain, secure := httptest.NewUnstartedServer(w), httptest.NewUnstartedServer(w)
	secure.EnableHTTP2 = true
	secure.TLS = &tls.Config{GetCertificate: authority.certificate}
	for _, s := range []*httptest.Server{plain, secure} {
		s.Config.ErrorLog = log.New(io.Discard, "", 0) // handshakes that a client gave up
		t.Cleanup(s.Close)
	}
	plain.Start()
	secure.StartTLS()
	w.ports = map[string]string{"http": port(plain), "https": port(secure)}
	return w
}

func port(s *httptest.Server) string {
	_, port, _ := net.SplitHostPort(s.Listener.Addr().String())
	return port
}

// configure sets the variables of the CGI scripts.
func (w *web) configure(settings ...string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.settings = settings
}

// at returns the URL with the port where it is served.
func (w *web) at(address string) string {
	u, err := url.Parse(address)
	if err != nil {
		w.t.Fatal(err)
	}
	u.Host = net.JoinHostPort(u.Host, w.ports[u.Scheme])
	return u.String()
}

// hand returns the URL of a page, on the same site as address, that sets a
// cookie by this line.
func (w *web) hand(address, line string) string {
	u, _ := url.Parse(w.at(address))
	u = u.JoinPath("hand")
	u.RawQuery = url.Values{"line": {line}}.Encode()
	return u.String()
}

// last returns the last exchange at the URL, and waits for the first.
func (w *web) last(t *testing.T, address string) exchange {
	t.Helper()
	var e exchange
	cmdtest.Until(t, "request for "+address, func() (ok bool) {
		w.mu.Lock()
		defer w.mu.Unlock()
		e, ok = w.seen[address]
		return ok
	})
	return e
}

// ServeHTTP notes the exchange before the client has the answer.
func (w *web) ServeHTTP(out http.ResponseWriter, r *http.Request) {
	answer := httptest.NewRecorder()
	w.handler(r).ServeHTTP(answer, r)

	u := *r.URL
	u.Scheme = "http"
	if r.TLS != nil {
		u.Scheme = "https"
	}
	u.Host, _, _ = net.SplitHostPort(r.Host)
	w.mu.Lock()
	w.seen[u.String()] = exchange{strings.Join(r.Header["Cookie"], "; "), answer.Header()["Set-Cookie"]}
	w.mu.Unlock()

	maps.Copy(out.Header(), answer.Header())
	out.WriteHeader(answer.Code)
	out.Write(answer.Body.Bytes())
}

func (w *web) handler(r *http.Request) http.Handler {
	switch page := path.Base(r.URL.Path); page {
	case "load", "lazy", "renew", "logout":
		return w.script("testdata/session.sh")
	case "login.sh":
		return w.script("../../scripts/examples/login.sh")
	case "hand":
		return http.HandlerFunc(setByHand)
	default:
		return http.HandlerFunc(show)
	}
}

// script returns the handler of a CGI script, which runs where it is.
func (w *web) script(name string) http.Handler {
	file, err := filepath.Abs(name)
	if err != nil {
		w.t.Error(err)
	}
	return &cgi.Handler{Path: file, Dir: filepath.Dir(file), Root: "/", Env: w.environment(), Stderr: w.t.Output()}
}

// program runs the program as the first thing of a request without cookies, and
// returns the Set-Cookie line that it prints, without that name.
func (w *web) program(t *testing.T, args ...string) string {
	t.Helper()
	head := cmdtest.Request{Env: w.environment()}.Must(t, args...)
	line, ok := strings.CutPrefix(head, "Set-Cookie: ")
	if !ok {
		t.Fatalf("cgisession %q: %q", args, head)
	}
	return line
}

func (w *web) environment() []string {
	w.mu.Lock()
	defer w.mu.Unlock()
	return append([]string{"CGISESSION_DATA_DIR=" + w.dir, "CGISESSION_CONFIG=none"}, w.settings...)
}

func setByHand(out http.ResponseWriter, r *http.Request) {
	out.Header().Set("Set-Cookie", r.FormValue("line"))
	show(out, r)
}

func show(out http.ResponseWriter, r *http.Request) {
	out.Header().Set("Content-Type", "text/html; charset=utf-8")
	fmt.Fprintf(out, "<!DOCTYPE html><title>A page</title><p>%s</p>", html.EscapeString(r.Header.Get("Cookie")))
}

// authority signs the certificates of all sites.
var authority *ca

// A ca is a certificate authority that one process trusts.
type ca struct {
	file string // its certificate, for curl
	pin  string // of the sites' one key, for Chromium
	root *x509.Certificate
	key  *ecdsa.PrivateKey // its own
	site *ecdsa.PrivateKey
}

func newCA(dir string) (*ca, error) {
	a := &ca{file: filepath.Join(dir, "ca.pem")}
	var err error
	if a.key, err = ecdsa.GenerateKey(elliptic.P256(), rand.Reader); err != nil {
		return nil, err
	}
	if a.site, err = ecdsa.GenerateKey(elliptic.P256(), rand.Reader); err != nil {
		return nil, err
	}
	spki, err := x509.MarshalPKIXPublicKey(a.site.Public())
	if err != nil {
		return nil, err
	}
	sum := sha256.Sum256(spki)
	a.pin = base64.StdEncoding.EncodeToString(sum[:])
	root := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "Test CA"},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(24 * time.Hour),
		IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign,
	}
	der, err := x509.CreateCertificate(rand.Reader, root, root, a.key.Public(), a.key)
	if err != nil {
		return nil, err
	}
	if a.root, err = x509.ParseCertificate(der); err != nil {
		return nil, err
	}
	return a, os.WriteFile(a.file, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}), 0o600)
}

// certificate makes the certificate of the site that a client asks for.
func (a *ca) certificate(hello *tls.ClientHelloInfo) (*tls.Certificate, error) {
	template := &x509.Certificate{
		SerialNumber: big.NewInt(time.Now().UnixNano()), Subject: pkix.Name{CommonName: "Test site"},
		NotBefore: a.root.NotBefore, NotAfter: a.root.NotAfter, DNSNames: []string{hello.ServerName},
		KeyUsage: x509.KeyUsageDigitalSignature, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
	}
	der, err := x509.CreateCertificate(rand.Reader, template, a.root, a.site.Public(), a.key)
	return &tls.Certificate{Certificate: [][]byte{der}, PrivateKey: a.site}, err
}
