package gateway

import (
	"bytes"
	"context"
	"io"
	"net/http"
	"net/url"

	"google.golang.org/grpc/metadata"
)

// callState goes with a call through the generated code: the metadata to send, the header
// that came back where that code would lose it, and the place that the call has.
type callState struct {
	metadata metadata.MD
	header   metadata.MD
	// leave gives back the call's place to run. It may be called more than once.
	leave func()
}

type callStateKey struct{}

func withCallState(ctx context.Context, s *callState) context.Context {
	return context.WithValue(ctx, callStateKey{}, s)
}

func callStateOf(ctx context.Context) *callState {
	if s, ok := ctx.Value(callStateKey{}).(*callState); ok {
		return s
	}
	return &callState{leave: func() {}}
}

// annotate tells the generated code what metadata to send. The credential is added by that
// code itself.
func annotate(ctx context.Context, _ *http.Request) metadata.MD {
	return callStateOf(ctx).metadata
}

// rebuild makes the request that the generated code reads. Its form is parsed already, so
// that no body is ever taken for a form.
func rebuild(ctx context.Context, r *http.Request, form url.Values, body []byte) *http.Request {
	out := r.WithContext(ctx)
	out.Header = http.Header{}
	if credential := r.Header.Get(headerAuthorization); credential != "" {
		out.Header.Set(headerAuthorization, credential)
	}
	out.Form, out.PostForm = form, url.Values{}
	out.Body = io.NopCloser(bytes.NewReader(body))
	out.ContentLength = int64(len(body))
	return out
}
