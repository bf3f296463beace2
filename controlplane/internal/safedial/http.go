package safedial

import (
	"crypto/tls"
	"crypto/x509"
	"net/http"
)

// maxHeaderBytes bounds the headers of an answer.
const maxHeaderBytes = 64 << 10

// Client returns an HTTP client that dials with d. It returns a redirect as the answer that
// it is, decompresses nothing, sends no cookies, and knows no proxy; a whole exchange takes
// no longer than Config.MaxTime, and reading a body that is too large fails with
// [ErrTooMuch]. Certificates are checked against roots; nil means the system's.
func (d *Dialer) Client(roots *x509.CertPool) *http.Client {
	return &http.Client{
		Timeout:       d.cfg.MaxTime,
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
		Transport: &http.Transport{
			DialContext:     d.DialContext,
			TLSClientConfig: &tls.Config{MinVersion: tls.VersionTLS12, RootCAs: roots},
			// A connection that is used again would not be judged again, and somebody
			// would have to close it.
			DisableKeepAlives:      true,
			DisableCompression:     true,
			MaxResponseHeaderBytes: maxHeaderBytes,
		},
	}
}
