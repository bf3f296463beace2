package gateway

import (
	"context"
	"log/slog"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/grpc-ecosystem/grpc-gateway/v2/runtime"
	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"

	"github.com/breakwater-cdn/breakwater/controlplane/internal/rpcerr"
)

// fallbackError is sent where not even an error can be marshalled.
const fallbackError = `{"code":13,"message":"an internal error"}`

// handleError answers with an error of the API, or of the generated code.
func (g *gateway) handleError(ctx context.Context, _ *runtime.ServeMux, _ runtime.Marshaler, w http.ResponseWriter, r *http.Request, err error) {
	header := callStateOf(ctx).header
	if md, ok := runtime.ServerMetadataFromContext(ctx); ok && len(md.HeaderMD) > 0 {
		header = md.HeaderMD
	}
	copyHeader(w.Header(), header)
	err = g.drained(err)
	if s, ok := status.FromError(err); ok && s.Code() == codes.InvalidArgument && len(s.Details()) == 0 {
		// It comes from the generated code's decoder, which is the last to judge a body.
		err = rpcerr.InvalidField("body", "json", "%s", strings.TrimSpace(strings.ReplaceAll(s.Message(), "proto:", "")))
	}
	g.writeError(w, r, err)
}

func (g *gateway) streamError(ctx context.Context, err error) *status.Status {
	err = g.drained(err)
	s := rpcerr.Status(err)
	g.log(ctx, s, err)
	return s
}

// drained says why a stream was cancelled that the client did not cancel.
func (g *gateway) drained(err error) error {
	if status.Code(err) == codes.Canceled && g.cfg.Drain.Err() != nil {
		return rpcerr.Unavailable(time.Second, "the server is stopping: begin again")
	}
	return err
}

// writeError answers with what the one table makes of an error.
func (g *gateway) writeError(w http.ResponseWriter, r *http.Request, err error) {
	s := rpcerr.Status(err)
	g.log(r.Context(), s, err)
	h := w.Header()
	h.Set("Content-Type", "application/json")
	h.Del("Trailer")
	code := runtime.HTTPStatusFromCode(s.Code())
	for _, detail := range s.Details() {
		switch d := detail.(type) {
		case *errdetails.ErrorInfo:
			if d.GetReason() == string(rpcerr.ReasonMethodNotAllowed) {
				code = http.StatusMethodNotAllowed
			}
		case *errdetails.RetryInfo:
			// Whole seconds, and not before it is worth it.
			if h.Get("Retry-After") == "" {
				delay := d.GetRetryDelay().AsDuration().Seconds()
				h.Set("Retry-After", strconv.Itoa(max(1, int(delay+0.999))))
			}
		}
	}
	if code == http.StatusUnauthorized {
		h.Set("WWW-Authenticate", `Bearer realm="breakwater"`)
	}
	body, err := newMarshaler().Marshal(s.Proto())
	if err != nil {
		code, body = http.StatusInternalServerError, []byte(fallbackError)
	}
	h.Set("Content-Length", strconv.Itoa(len(body)))
	w.WriteHeader(code)
	// A client that is gone does not get its error.
	_, _ = w.Write(body) //nolint:gosec // JSON, as the headers say, and not to be sniffed
}

// log keeps the cause of what is no fault of the client. Errors of the API come as statuses
// and were logged where they arose.
func (g *gateway) log(ctx context.Context, s *status.Status, err error) {
	if _, fromAPI := status.FromError(err); fromAPI || s.Code() != codes.Internal {
		return
	}
	g.cfg.Logger.LogAttrs(ctx, slog.LevelError, "the gateway failed",
		slog.String("request_id", RequestID(ctx)), slog.Any("error", err))
}

func copyHeader(h http.Header, md metadata.MD) {
	for key, values := range md {
		if name, ok := outgoingHeader(key); ok && len(values) > 0 {
			h.Set(name, values[0])
		}
	}
	setRateLimit(h)
}
