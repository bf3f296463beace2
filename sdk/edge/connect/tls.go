package connect

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"os"
)

// Files are the PEM files of one side of a TLS connection.
type Files struct {
	// CA verifies the other side; that of the system when empty.
	CA string
	// Cert and Key identify this side. They go together.
	Cert, Key string
}

func (f Files) empty() bool { return f == Files{} }

// config reads the files. The certificate is read again at each connection, so that a
// renewed one is taken up.
func (f Files) config(minimum uint16) (*tls.Config, error) {
	out := &tls.Config{MinVersion: minimum}
	if f.CA != "" {
		pem, err := os.ReadFile(f.CA)
		if err != nil {
			return nil, fmt.Errorf("authority: %w", err)
		}
		out.RootCAs = x509.NewCertPool()
		if !out.RootCAs.AppendCertsFromPEM(pem) {
			return nil, fmt.Errorf("authority: %s holds no certificate", f.CA)
		}
	}
	if (f.Cert == "") != (f.Key == "") {
		return nil, errors.New("a certificate goes with a key")
	}
	if f.Cert != "" {
		if _, err := tls.LoadX509KeyPair(f.Cert, f.Key); err != nil {
			return nil, fmt.Errorf("certificate: %w", err)
		}
		out.GetClientCertificate = func(*tls.CertificateRequestInfo) (*tls.Certificate, error) {
			pair, err := tls.LoadX509KeyPair(f.Cert, f.Key)
			return &pair, err
		}
	}
	return out, nil
}

// hostOf is the name that a certificate of an address must have.
func hostOf(address string) string {
	host, _, err := net.SplitHostPort(address)
	if err != nil {
		return address
	}
	return host
}
