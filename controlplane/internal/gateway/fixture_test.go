package gateway

import (
	"bytes"
	"context"
	"encoding/json"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"

	"go.uber.org/goleak"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"
	"google.golang.org/grpc/test/bufconn"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/reflect/protoregistry"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// api is a gRPC server of every service that answers as it is told.
type api struct {
	mu sync.Mutex
	// answer makes the answers to a call: one for a unary method, any number for a stream.
	answer func(method string, req proto.Message) ([]proto.Message, error)
	header metadata.MD
	// stream, where set, answers itself until done.
	stream func(send func(proto.Message) error, done <-chan struct{})
	// The last call.
	method string
	req    proto.Message
	md     metadata.MD
}

func (a *api) handle(_ any, stream grpc.ServerStream) error {
	method, _ := grpc.MethodFromServerStream(stream)
	d, err := protoregistry.GlobalFiles.FindDescriptorByName(protoreflect.FullName(strings.ReplaceAll(method[1:], "/", ".")))
	if err != nil {
		return status.Error(codes.Unimplemented, method)
	}
	m := d.(protoreflect.MethodDescriptor)
	input, err := protoregistry.GlobalTypes.FindMessageByName(m.Input().FullName())
	if err != nil {
		return err
	}
	req := input.New().Interface()
	if err := stream.RecvMsg(req); err != nil {
		return err
	}
	a.mu.Lock()
	a.method, a.req = method, req
	a.md, _ = metadata.FromIncomingContext(stream.Context())
	answer, header, script := a.answer, a.header, a.stream
	a.mu.Unlock()
	if script != nil {
		script(func(m proto.Message) error { return stream.SendMsg(m) }, stream.Context().Done())
		return stream.Context().Err()
	}
	if header != nil {
		if err := stream.SetHeader(header); err != nil {
			return err
		}
	}
	if answer == nil {
		output, err := protoregistry.GlobalTypes.FindMessageByName(m.Output().FullName())
		if err != nil {
			return err
		}
		return stream.SendMsg(output.New().Interface())
	}
	messages, err := answer(method, req)
	for _, msg := range messages {
		if err := stream.SendMsg(msg); err != nil {
			return err
		}
	}
	return err
}

func (a *api) last() (string, proto.Message, metadata.MD) {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.method, a.req, a.md
}

func (a *api) reset(answer func(string, proto.Message) ([]proto.Message, error)) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.answer, a.method, a.req, a.md, a.header = answer, "", nil, nil, nil
}

// dial returns a connection to an API, both closed with the test.
func dial(t testing.TB) (*grpc.ClientConn, *api) {
	t.Helper()
	a := &api{}
	server := grpc.NewServer(grpc.UnknownServiceHandler(a.handle))
	listener := bufconn.Listen(1 << 20)
	done := make(chan struct{})
	go func() {
		defer close(done)
		_ = server.Serve(listener)
	}()
	conn, err := grpc.NewClient("passthrough:///api",
		grpc.WithContextDialer(func(ctx context.Context, _ string) (net.Conn, error) { return listener.DialContext(ctx) }),
		grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = conn.Close()
		server.Stop()
		<-done
	})
	return conn, a
}

// start returns a handler in front of an API.
func start(t testing.TB, cfg Config) (*api, http.Handler) {
	t.Helper()
	conn, a := dial(t)
	handler, err := New(conn, cfg)
	if err != nil {
		t.Fatal(err)
	}
	return a, handler
}

// reply is a response with its body.
type reply struct {
	code   int
	header http.Header
	body   string
}

func do(t testing.TB, h http.Handler, method, target, body string, header ...string) reply {
	t.Helper()
	r := httptest.NewRequest(method, target, strings.NewReader(body))
	for i := 0; i < len(header); i += 2 {
		r.Header.Add(header[i], header[i+1])
	}
	w := httptest.NewRecorder()
	h.ServeHTTP(w, r)
	raw, err := io.ReadAll(w.Result().Body)
	if err != nil {
		t.Fatal(err)
	}
	return reply{w.Code, w.Result().Header, string(raw)}
}

// failure is a google.rpc.Status as JSON has it.
type failure struct {
	Code    int
	Message string
	Details []struct {
		Type            string `json:"@type"`
		Reason, Domain  string
		Metadata        map[string]string
		FieldViolations []struct{ Field, Reason, Description string }
		RetryDelay      string
	}
}

func (r reply) failure(t testing.TB) failure {
	t.Helper()
	var f failure
	dec := json.NewDecoder(bytes.NewReader([]byte(r.body)))
	if err := dec.Decode(&f); err != nil {
		t.Fatalf("%d %s: %v", r.code, r.body, err)
	}
	if len(f.Details) == 0 || f.Details[0].Type != "type.googleapis.com/google.rpc.ErrorInfo" || f.Details[0].Domain != "breakwater" {
		t.Errorf("no ErrorInfo in %s", r.body)
	}
	return f
}

func (r reply) reason(t testing.TB) string {
	t.Helper()
	if f := r.failure(t); len(f.Details) > 0 {
		return f.Details[0].Reason
	}
	return ""
}

// fields returns the paths of the violations, with spaces between.
func (r reply) fields(t testing.TB) string {
	t.Helper()
	var fields []string
	for _, d := range r.failure(t).Details {
		for _, v := range d.FieldViolations {
			fields = append(fields, v.Field)
		}
	}
	return strings.Join(fields, " ")
}
