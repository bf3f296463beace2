package gateway

import (
	"context"
	"net/http"
	"strconv"
	"time"

	"github.com/grpc-ecosystem/grpc-gateway/v2/runtime"
	"github.com/jonboulle/clockwork"
	"google.golang.org/genproto/googleapis/api/httpbody"
	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"
)

// marshaler writes proto3 JSON with default values and refuses unknown fields.
type marshaler struct{ runtime.JSONPb }

func newMarshaler() *marshaler {
	return &marshaler{runtime.JSONPb{
		MarshalOptions:   protojson.MarshalOptions{EmitUnpopulated: true},
		UnmarshalOptions: protojson.UnmarshalOptions{DiscardUnknown: false},
	}}
}

// Marshal implements runtime.Marshaler. A whole answer ends its line, for whoever reads it in
// a terminal; the messages of a stream are wrapped, and followed by a delimiter.
func (m *marshaler) Marshal(v any) ([]byte, error) {
	b, err := m.JSONPb.Marshal(v)
	if _, whole := v.(proto.Message); whole && err == nil {
		b = append(b, '\n')
	}
	return b, err
}

// setETag makes the header ETag of a resource's own etag, and completes the rate limit's
// headers, before a response is written.
func setETag(_ context.Context, w http.ResponseWriter, m proto.Message) error {
	setRateLimit(w.Header())
	if m == nil {
		return nil
	}
	if _, page := m.(*httpbody.HttpBody); page {
		// A page is shown by browsers: it may bring its style and nothing else.
		w.Header().Set("Content-Security-Policy", "default-src 'none'; style-src 'unsafe-inline'; frame-ancestors 'none'")
	}
	r := m.ProtoReflect()
	fd := r.Descriptor().Fields().ByName("etag")
	if fd != nil && fd.Kind() == protoreflect.StringKind && !fd.IsList() {
		if etag := r.Get(fd).String(); etag != "" {
			w.Header().Set("ETag", `"`+etag+`"`)
		}
	}
	return nil
}

// setRateLimit adds the combined header of the IETF's draft to the three that most clients
// read.
func setRateLimit(h http.Header) {
	remaining, err := strconv.Atoi(h.Get("RateLimit-Remaining"))
	if err != nil {
		return
	}
	reset, err := strconv.Atoi(h.Get("RateLimit-Reset"))
	if err != nil {
		return
	}
	h.Set("RateLimit", `"default";r=`+strconv.Itoa(remaining)+`;t=`+strconv.Itoa(reset))
}

// deadlineWriter bounds the time of each write, which a server's own write time-out can't do
// for streams.
type deadlineWriter struct {
	http.ResponseWriter
	clock   clockwork.Clock
	timeout time.Duration
}

// Write implements io.Writer.
func (w *deadlineWriter) Write(p []byte) (int, error) {
	// Not every writer has deadlines; in tests there is no socket.
	_ = http.NewResponseController(w.ResponseWriter).SetWriteDeadline(w.clock.Now().Add(w.timeout))
	return w.ResponseWriter.Write(p)
}

// Unwrap lets http.ResponseController find Flush.
func (w *deadlineWriter) Unwrap() http.ResponseWriter { return w.ResponseWriter }
