package server

import (
	"crypto/ed25519"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net/url"
	"path/filepath"
	"regexp"
	"strings"

	"github.com/jonboulle/clockwork"

	"github.com/breakwater-cdn/breakwater/controlplane/internal/fleet"
	"github.com/breakwater-cdn/breakwater/controlplane/internal/pki"
	"github.com/breakwater-cdn/breakwater/sdk/edge/wire"
)

// Certificates makes certificates with an authority of the installation's own, for those
// that have no other.
type Certificates struct {
	// Dir is where the authority is kept; made where it is not there.
	Dir string
	// Out is the directory that certificates and their keys are written to.
	Out string
}

var (
	dataCenterCode = regexp.MustCompile(`^[A-Z]{3}$`)
	fileName       = regexp.MustCompile(`^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$`)
)

// Edge makes the certificate by which an edge server reports, and says where it is.
func (c Certificates) Edge(out io.Writer, dataCenter, server string) error {
	dataCenter = strings.ToUpper(dataCenter)
	if !dataCenterCode.MatchString(dataCenter) {
		return fmt.Errorf("dc: %q is not a code of three letters", dataCenter)
	}
	if !fileName.MatchString(server) {
		return fmt.Errorf("server: %q is not a name of letters, digits and hyphens in lower case", server)
	}
	return c.issue(out, server, func(a *pki.Authority) (tls.Certificate, error) {
		return a.IssueClient(&url.URL{Scheme: fleet.IdentityScheme, Host: dataCenter, Path: "/" + server})
	})
}

// Listener makes the certificate of a listener that is reached by the given names and
// addresses, and says where it is.
func (c Certificates) Listener(out io.Writer, name string, hosts []string) error {
	if len(hosts) == 0 {
		return errors.New("host: the names and addresses by which the listener is reached must be given")
	}
	if !fileName.MatchString(name) {
		return fmt.Errorf("name: %q is not a name of letters, digits and hyphens in lower case", name)
	}
	return c.issue(out, name, func(a *pki.Authority) (tls.Certificate, error) { return a.IssueServer(hosts...) })
}

func (c Certificates) issue(out io.Writer, name string, with func(*pki.Authority) (tls.Certificate, error)) error {
	authority, err := pki.OpenAuthority(c.Dir, clockwork.NewRealClock().Now)
	if err != nil {
		return err
	}
	cert, err := with(authority)
	if err != nil {
		return err
	}
	if err := pki.WriteCertificate(c.Out, name, cert); err != nil {
		return err
	}
	_, err = fmt.Fprintf(out, "certificate %s\nkey         %s\nauthority   %s\n",
		filepath.Join(c.Out, name+".pem"), filepath.Join(c.Out, name+".key"), filepath.Join(c.Dir, "ca.pem"))
	return err
}

// PublicKey is the public half of the key that signs releases, as PEM: what edge servers
// trust. The key is made where there is none, as [Start] would.
func PublicKey(cfg *Config) ([]byte, error) {
	signer, err := pki.OpenSigner(cfg.fileOr(cfg.SigningKeyFile, "keys", "manifest.key"))
	if err != nil {
		return nil, fmt.Errorf("signing-key-file: %w", err)
	}
	public, ok := signer.Public().(ed25519.PublicKey)
	if !ok {
		return nil, errors.New("signing-key-file: the key has no public half")
	}
	return wire.EncodePublicKey(public)
}
