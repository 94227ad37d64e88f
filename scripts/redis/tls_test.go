//go:build redis && linux

package redis_test

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"cgisession/store/redis/redistest"
)

// TestTLS has a server with a certificate of its own authority.
func TestTLS(t *testing.T) {
	good, other := newAuthority(t, net.IPv4(127, 0, 0, 1)), newAuthority(t, net.IPv4(127, 0, 0, 2))
	url := good.serve(t)
	s := siteOf(url, "CGISESSION_REDIS_CA_FILE="+good.ca)
	s.must(t, "set", "a=1")
	if got := s.must(t, "get", "a"); got != `"1"` {
		t.Errorf("get: %s", got)
	}
	for _, tt := range []struct {
		name string
		site site
		code int
		says string
	}{
		{"no authority", siteOf(url), 69, "certificate signed by unknown authority"},
		{"another authority", siteOf(url, "CGISESSION_REDIS_CA_FILE="+other.ca), 69, "certificate signed by unknown authority"},
		{"another name", siteOf(other.serve(t), "CGISESSION_REDIS_CA_FILE="+other.ca), 69, "certificate is valid for 127.0.0.2, not 127.0.0.1"},
		{"without TLS", siteOf(strings.Replace(url, "rediss:", "redis:", 1)), 69, "store unavailable"},
		{"no verification", siteOf(url + "?skip_verify=true"), 78, "certificates are always verified"},
		{"no such file", siteOf(url, "CGISESSION_REDIS_CA_FILE=nowhere"), 78, "CA file nowhere: no such file"},
		{"no certificate", siteOf(url, "CGISESSION_REDIS_CA_FILE="+os.Args[0]), 78, "holds no certificate"},
	} {
		got := tt.site.call(t, "set", "a=2")
		if got.code != tt.code || !strings.Contains(got.stderr, tt.says) || strings.Count(got.stderr, "\n") != 1 || got.took > 3*time.Second {
			t.Errorf("%s: %+v; want %d, %s", tt.name, got, tt.code, tt.says)
		}
	}
}

// An authority has made one certificate, for a server.
type authority struct{ ca, cert, key string }

func newAuthority(t *testing.T, ip net.IP) authority {
	t.Helper()
	dir := t.TempDir()
	a := authority{filepath.Join(dir, "ca"), filepath.Join(dir, "cert"), filepath.Join(dir, "key")}
	root := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "authority"}, NotAfter: time.Now().Add(time.Hour),
		IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign,
	}
	leaf := &x509.Certificate{SerialNumber: big.NewInt(2), NotAfter: time.Now().Add(time.Hour), IPAddresses: []net.IP{ip}}
	rootKey, leafKey := newKey(t), newKey(t)
	keyText, err := x509.MarshalECPrivateKey(leafKey)
	if err != nil {
		t.Fatal(err)
	}
	write(t, a.ca, "CERTIFICATE", sign(t, root, root, rootKey, rootKey))
	write(t, a.cert, "CERTIFICATE", sign(t, leaf, root, leafKey, rootKey))
	write(t, a.key, "EC PRIVATE KEY", keyText)
	return a
}

func newKey(t *testing.T) *ecdsa.PrivateKey {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return key
}

func sign(t *testing.T, what, by *x509.Certificate, key, byKey *ecdsa.PrivateKey) []byte {
	text, err := x509.CreateCertificate(rand.Reader, what, by, &key.PublicKey, byKey)
	if err != nil {
		t.Fatal(err)
	}
	return text
}

func write(t *testing.T, file, kind string, text []byte) {
	if err := os.WriteFile(file, pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: text}), 0o600); err != nil {
		t.Fatal(err)
	}
}

// serve runs a server that has the certificate, and returns its URL.
func (a authority) serve(t *testing.T) string {
	server := redistest.Start(t, "--port", "0", "--tls-port", strconv.Itoa(redistest.FreePort(t)), "--tls-auth-clients", "no",
		"--tls-ca-cert-file", a.ca, "--tls-cert-file", a.cert, "--tls-key-file", a.key)
	return "rediss://" + server.Addr()
}
