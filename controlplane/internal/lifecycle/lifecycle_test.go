package lifecycle

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/jonboulle/clockwork"
	"go.uber.org/goleak"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

var errFault = errors.New("fault")

func TestStack(t *testing.T) {
	var s Stack
	var order []string
	push := func(name string, err error) {
		s.PushClose(name, func() error {
			order = append(order, name)
			return err
		})
	}
	push("etcd", nil)
	push("cache", errFault)
	push("listener", nil)
	err := s.Close(t.Context())
	if !slices.Equal(order, []string{"listener", "cache", "etcd"}) {
		t.Errorf("closed %v", order)
	}
	if !errors.Is(err, errFault) || !strings.Contains(err.Error(), "close cache") {
		t.Errorf("got %v", err)
	}
	if again := s.Close(t.Context()); !errors.Is(again, errFault) || len(order) != 3 {
		t.Errorf("again: %v, closed %v", again, order)
	}
	push("late", nil)
	if order[len(order)-1] != "late" {
		t.Error("what was pushed too late was not closed")
	}
}

func TestGroup(t *testing.T) {
	forever := func(ctx context.Context) error {
		<-ctx.Done()
		return ctx.Err()
	}
	t.Run("stop", func(t *testing.T) {
		g := NewGroup(t.Context())
		g.Go("a", forever)
		g.Go("b", func(context.Context) error { return nil })
		if err := g.Close(); err != nil {
			t.Error(err)
		}
	})
	t.Run("one fails", func(t *testing.T) {
		g := NewGroup(t.Context())
		g.Go("a", forever)
		g.Go("b", func(context.Context) error { return errFault })
		<-g.Done()
		if err := g.Wait(); !errors.Is(err, errFault) || err.Error() != "b: fault" {
			t.Errorf("got %v", err)
		}
	})
	t.Run("a failure while stopping is told", func(t *testing.T) {
		g := NewGroup(t.Context())
		g.Go("a", func(ctx context.Context) error {
			<-ctx.Done()
			return errFault
		})
		if err := g.Close(); !errors.Is(err, errFault) {
			t.Errorf("got %v", err)
		}
	})
	t.Run("a cancelled call of a running loop is a failure", func(t *testing.T) {
		g := NewGroup(t.Context())
		g.Go("a", func(context.Context) error { return context.Canceled })
		if err := g.Wait(); !errors.Is(err, context.Canceled) {
			t.Errorf("got %v", err)
		}
	})
	t.Run("the parent ends", func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		g := NewGroup(ctx)
		g.Go("a", forever)
		cancel()
		if err := g.Wait(); err != nil {
			t.Error(err)
		}
	})
}

func listen(t *testing.T) net.Listener {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	return l
}

func TestServeHTTP(t *testing.T) {
	for _, test := range []struct {
		name   string
		finish bool
	}{{"an open request finishes", true}, {"or is cut off", false}} {
		t.Run(test.name, func(t *testing.T) {
			clock := clockwork.NewFakeClock()
			started, release := make(chan struct{}), make(chan struct{})
			s := &http.Server{ReadHeaderTimeout: time.Second, Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				close(started)
				select {
				case <-release:
					_, _ = io.WriteString(w, "done")
				case <-r.Context().Done():
				}
			})}
			ctx, cancel := context.WithCancel(t.Context())
			l := listen(t)
			ended := make(chan error, 1)
			go func() { ended <- ServeHTTP(ctx, s, l, time.Minute, clock) }()
			client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
			answered := make(chan string, 1)
			go func() {
				resp, err := client.Get("http://" + l.Addr().String())
				if err != nil {
					answered <- "cut off"
					return
				}
				defer func() { _ = resp.Body.Close() }()
				body, _ := io.ReadAll(resp.Body)
				answered <- string(body)
			}()
			<-started
			cancel()
			want := "cut off"
			if test.finish {
				want = "done"
				close(release)
			} else {
				if err := clock.BlockUntilContext(t.Context(), 1); err != nil {
					t.Fatal(err)
				}
				clock.Advance(time.Minute)
			}
			if got := <-answered; got != want {
				t.Errorf("got %q, want %q", got, want)
			}
			if err := <-ended; err != nil {
				t.Error(err)
			}
		})
	}
	l := listen(t)
	_ = l.Close()
	s := &http.Server{ReadHeaderTimeout: time.Second}
	if err := ServeHTTP(t.Context(), s, l, time.Minute, clockwork.NewRealClock()); err == nil {
		t.Error("served a closed listener")
	}
}

func TestServeGRPC(t *testing.T) {
	for _, finish := range []bool{true, false} {
		clock := clockwork.NewFakeClock()
		started, release := make(chan struct{}), make(chan struct{})
		s := grpc.NewServer(grpc.UnknownServiceHandler(func(_ any, stream grpc.ServerStream) error {
			close(started)
			select {
			case <-release:
			case <-stream.Context().Done():
			}
			return nil
		}))
		ctx, cancel := context.WithCancel(t.Context())
		l := listen(t)
		ended := make(chan error, 1)
		go func() { ended <- ServeGRPC(ctx, s, l, time.Minute, clock) }()
		conn, err := grpc.NewClient(l.Addr().String(), grpc.WithTransportCredentials(insecure.NewCredentials()))
		if err != nil {
			t.Fatal(err)
		}
		if _, err := conn.NewStream(t.Context(), &grpc.StreamDesc{ServerStreams: true}, "/x/Y"); err != nil {
			t.Fatal(err)
		}
		<-started
		cancel()
		if finish {
			close(release)
		} else {
			if err := clock.BlockUntilContext(t.Context(), 1); err != nil {
				t.Fatal(err)
			}
			clock.Advance(time.Minute)
		}
		if err := <-ended; err != nil {
			t.Errorf("finish %v: %v", finish, err)
		}
		if err := conn.Close(); err != nil {
			t.Error(err)
		}
	}
	l := listen(t)
	_ = l.Close()
	if err := ServeGRPC(t.Context(), grpc.NewServer(), l, time.Minute, clockwork.NewRealClock()); err == nil {
		t.Error("served a closed listener")
	}
}

func TestReady(t *testing.T) {
	clock := clockwork.NewFakeClock()
	var log strings.Builder
	r := NewReady(time.Second, clock, slog.New(slog.NewTextHandler(&log, nil)))
	get := func() (int, string) {
		w := httptest.NewRecorder()
		r.ServeHTTP(w, httptest.NewRequest(http.MethodGet, "/readyz", http.NoBody))
		return w.Code, strings.TrimSpace(w.Body.String())
	}
	if code, body := get(); code != 200 || body != `{"ready":true,"failures":[]}` {
		t.Errorf("got %d %s", code, body)
	}
	var asked atomic.Int32
	etcdErr := errors.New("dial 10.0.0.1")
	r.Add("etcd", func(context.Context) error {
		asked.Add(1)
		return etcdErr
	})
	r.Add("cache", func(context.Context) error { return NotReady("is %d behind", 3) })
	r.Add("fine", func(context.Context) error { return nil })
	clock.Advance(reportAge)
	for range 3 {
		if code, body := get(); code != 503 || body != `{"ready":false,"failures":[{"check":"etcd","message":"failed"},{"check":"cache","message":"is 3 behind"}]}` {
			t.Errorf("got %d %s", code, body)
		}
	}
	if n := asked.Load(); n != 1 || strings.Count(log.String(), "10.0.0.1") != 1 {
		t.Errorf("asked %d times, logged %q", n, log.String())
	}
	r.Add("slow", func(ctx context.Context) error {
		clock.Advance(time.Second)
		<-ctx.Done()
		return ctx.Err()
	})
	clock.Advance(reportAge)
	if _, body := get(); !strings.Contains(body, `{"check":"slow","message":"did not answer in time"}`) {
		t.Errorf("got %s", body)
	}
	r.Stopping()
	if code, body := get(); code != 503 || !strings.Contains(body, "stopping") {
		t.Errorf("got %d %s", code, body)
	}
	w := httptest.NewRecorder()
	Healthy().ServeHTTP(w, httptest.NewRequest(http.MethodGet, "/healthz", http.NoBody))
	if w.Code != 200 || w.Body.String() != "{\"status\":\"ok\"}\n" {
		t.Errorf("got %d %s", w.Code, w.Body)
	}
}
