package server

import (
	"context"
	"net"
	"net/http"
	"net/netip"

	"github.com/breakwater-cdn/breakwater/api/openapi"
	"github.com/breakwater-cdn/breakwater/controlplane/internal/apidocs"
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
	rest, err := gateway.New(a.gatewayConn(conn), gateway.Config{
		Authenticate: a.authenticate(r.proxies()),
		Dev:          r.cfg.Dev, Drain: draining, Clock: r.machine, Logger: r.log,
	})
	if err != nil {
		return nil, err
	}
	docs, err := apidocs.New(openapi.Document(), r.cfg.Dev)
	if err != nil {
		return nil, err
	}
	mux := http.NewServeMux()
	mux.Handle("/", rest)
	mux.Handle("GET /healthz", lifecycle.Healthy())
	mux.Handle("GET /readyz", ready)
	if webhook != nil {
		mux.Handle("POST /webhooks/stripe", webhook)
	}
	for _, path := range docs.Paths() {
		mux.Handle(path, docs)
	}
	if r.cfg.Admin == "" {
		mux.Handle("GET /metrics", o.metrics.Handler())
	}
	w := &web{admin: newAdmin(a, o), close: conn.Close}
	w.handler = gateway.WithRequestID(o.metrics.HTTP(telemetry.AccessLog(r.log, gateway.RequestID, mux)))
	return w, nil
}

// authenticate refuses a bad credential before a body is decoded, by the API's own rules.
func (a *api) authenticate(trusted []netip.Prefix) func(*http.Request, string) error {
	return func(r *http.Request, fullMethod string) error {
		bearer := intercept.Bearer(r.Header.Get("Authorization"))
		var peer netip.Addr
		if host, _, err := net.SplitHostPort(r.RemoteAddr); err == nil {
			peer, _ = netip.ParseAddr(host)
		}
		peer = intercept.Forwarded(peer.Unmap(), r.Header.Values("X-Forwarded-For"), trusted)
		_, err := a.chain.Identify(r.Context(), fullMethod, bearer, peer, r.Header.Get("Breakwater-On-Behalf-Of"))
		return err
	}
}
