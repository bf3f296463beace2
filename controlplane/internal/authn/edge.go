package authn

import (
	"crypto/x509"
	"net/url"
	"strings"

	"github.com/breakwater-cdn/breakwater/controlplane/internal/rpcerr"
)

// EdgeScheme is the scheme of the URI in an edge server's certificate,
// `breakwater-edge://{dc}/{server}`.
const EdgeScheme = "breakwater-edge"

// EdgeURI is the identity that a certificate must have for a server of a data center.
func EdgeURI(dataCenter, server string) *url.URL {
	return &url.URL{Scheme: EdgeScheme, Host: strings.ToUpper(dataCenter), Path: "/" + server}
}

// FromCertificate returns the edge server that a verified client certificate names.
// Verifying it, against the fleet's own authority only, is the listener's part.
func FromCertificate(cert *x509.Certificate) (Principal, error) {
	for _, uri := range cert.URIs {
		server := strings.TrimPrefix(uri.Path, "/")
		if uri.Scheme != EdgeScheme || uri.Host == "" || server == "" || strings.Contains(server, "/") {
			continue
		}
		return EdgeServer(uri.Host, server), nil
	}
	return Principal{}, rpcerr.Unauthenticated("the certificate names no edge server")
}

// EdgeServer is the principal of a server of a data center.
func EdgeServer(dataCenter, server string) Principal {
	dataCenter = strings.ToUpper(dataCenter)
	return Principal{
		Kind: Edge, ID: "edge:" + dataCenter + "/" + server, DataCenter: dataCenter, Server: server,
	}
}
