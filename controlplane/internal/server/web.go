package server

import (
	"context"
	"net"
	"net/http"
	"net/netip"

	"google.golang.org/grpc/metadata"

	"github.com/breakwater-cdn/breakwater/api/openapi"
	"github.com/breakwater-cdn/breakwater/controlplane/internal/apidocs"
	"github.com/breakwater-cdn/breakwater/controlplane/internal/call"
	"github.com/breakwater-cdn/breakwater/controlplane/internal/gateway"
	"github.com/breakwater-cdn/breakwater/controlplane/internal/intercept"
	"github.com/breakwater-cdn/breakwater/controlplane/internal/lifecycle"
	"github.com/breakwater-cdn/breakwater/controlplane/internal/telemetry"
)

// web is the HTTP side.
type web struct {
	handler http.Handler
	// admin is for operators of the machine: metrics and reflection.
	admin http.Handler
	close func() error
}

// newWeb builds the HTTP side. Streams end when draining does. A nil webhook has no route.
func newWeb(draining context.Context, r *rooms, a *api, ready *lifecycle.Ready, o *observation, webhook http.Handler) (*web, error) {
	conn, err := a.dialInProcess()
	if err != nil {
		return nil, err
	}
	docs, err := apidocs.New(openapi.Document(), r.cfg.Dev)
	if err != nil {
		return nil, err
	}
	look := func(h http.Handler) gateway.Fixed {
		return gateway.Fixed{Methods: []string{http.MethodGet, http.MethodHead}, Handler: h}
	}
	fixed := map[string]gateway.Fixed{"/healthz": look(lifecycle.Healthy()), "/readyz": look(ready)}
	for _, path := range docs.Paths() {
		fixed[path] = look(docs)
	}
	if r.cfg.Admin == "" {
		fixed["/metrics"] = look(o.metrics.Handler())
	}
	if webhook != nil {
		fixed["/webhooks/stripe"] = gateway.Fixed{Methods: []string{http.MethodPost}, Handler: webhook}
	}
	rest, err := gateway.New(a.gatewayConn(conn), gateway.Config{
		Admit: a.admit(r.proxies()), Fixed: fixed,
		Dev: r.cfg.Dev, Drain: draining, Clock: r.machine, Logger: r.log,
	})
	if err != nil {
		return nil, err
	}
	w := &web{admin: newAdmin(a, o), close: conn.Close}
	w.handler = gateway.WithRequestID(o.metrics.HTTP(telemetry.AccessLog(r.log, gateway.RequestID, rest)))
	return w, nil
}

// admit lets requests in by the API's own rules, before their bodies are read.
func (a *api) admit(trusted []netip.Prefix) func(*http.Request, string, string) (gateway.Ticket, error) {
	return func(r *http.Request, fullMethod, name string) (gateway.Ticket, error) {
		var peer netip.Addr
		if host, _, err := net.SplitHostPort(r.RemoteAddr); err == nil {
			peer, _ = netip.ParseAddr(host)
		}
		peer = intercept.Forwarded(peer.Unmap(), r.Header.Values("X-Forwarded-For"), trusted)
		md := metadata.MD{
			call.MetadataAuthorization: r.Header.Values("Authorization"),
			call.MetadataOnBehalfOf:    r.Header.Values("Breakwater-On-Behalf-Of"),
		}
		admission, err := a.chain.Admit(r.Context(), fullMethod, name, md, peer)
		return gateway.Ticket{Header: admission.Header, Enter: admission.Enter}, err
	}
}
