package pki

import (
	"crypto/ed25519"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
)

const (
	blockKey  = "PRIVATE KEY"
	blockCert = "CERTIFICATE"
)

// OpenSigner reads the Ed25519 key that signs manifests from path (PKCS #8, PEM), or makes
// it there with mode 0600.
func OpenSigner(path string) (ed25519.PrivateKey, error) {
	key, err := LoadSigner(path)
	if !errors.Is(err, fs.ErrNotExist) {
		return key, err
	}
	_, key, err = ed25519.GenerateKey(rand.Reader)
	if err != nil {
		return nil, fmt.Errorf("pki: key: %w", err)
	}
	der, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		return nil, fmt.Errorf("pki: key: %w", err)
	}
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		return nil, fmt.Errorf("pki: %w", err)
	}
	return key, writePEM(path, blockKey, der, 0o600)
}

// LoadSigner reads the Ed25519 key that signs manifests from path (PKCS #8, PEM).
func LoadSigner(path string) (ed25519.PrivateKey, error) {
	der, err := readPEM(path, blockKey)
	if err != nil {
		return nil, err
	}
	parsed, err := x509.ParsePKCS8PrivateKey(der)
	if err != nil {
		return nil, fmt.Errorf("pki: %s: %w", path, err)
	}
	key, ok := parsed.(ed25519.PrivateKey)
	if !ok {
		return nil, fmt.Errorf("pki: %s: not an Ed25519 key", path)
	}
	return key, nil
}

// WriteCertificate writes a certificate to `{name}.pem` and its key to `{name}.key` (0600)
// in dir, which it makes where it is not there.
func WriteCertificate(dir, name string, c tls.Certificate) error {
	if len(c.Certificate) == 0 {
		return errors.New("pki: no certificate")
	}
	der, err := x509.MarshalPKCS8PrivateKey(c.PrivateKey)
	if err != nil {
		return fmt.Errorf("pki: key: %w", err)
	}
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return fmt.Errorf("pki: %w", err)
	}
	if err := writePEM(filepath.Join(dir, name+".key"), blockKey, der, 0o600); err != nil {
		return err
	}
	return writePEM(filepath.Join(dir, name+".pem"), blockCert, c.Certificate[0], 0o644)
}

func readPEM(path, block string) ([]byte, error) {
	b, err := os.ReadFile(path)
	if err != nil {
		return nil, fmt.Errorf("pki: %w", err)
	}
	p, _ := pem.Decode(b)
	if p == nil || p.Type != block {
		return nil, fmt.Errorf("pki: %s: no %s in it", path, block)
	}
	return p.Bytes, nil
}

// writePEM writes whole or not at all: a crash leaves the old file or none. At no moment the
// file is readable by more than mode says.
func writePEM(path, block string, der []byte, mode fs.FileMode) (err error) {
	f, err := os.CreateTemp(filepath.Dir(path), filepath.Base(path)+".*") // mode 0600
	if err != nil {
		return fmt.Errorf("pki: %w", err)
	}
	defer func() {
		if err != nil {
			_ = f.Close() // perhaps a second time, which is harmless
			_ = os.Remove(f.Name())
			err = fmt.Errorf("pki: %s: %w", path, err)
		}
	}()
	if err := pem.Encode(f, &pem.Block{Type: block, Bytes: der}); err != nil {
		return err
	}
	if err := errors.Join(f.Chmod(mode), f.Sync(), f.Close()); err != nil {
		return err
	}
	return os.Rename(f.Name(), path)
}
