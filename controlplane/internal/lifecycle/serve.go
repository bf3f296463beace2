package lifecycle

import (
	"context"
	"errors"
	"net"
	"net/http"
	"time"

	"github.com/jonboulle/clockwork"
	"google.golang.org/grpc"
)

// ServeHTTP serves until ctx ends or the server fails. When ctx ends it takes no more
// connections, lets open requests finish for at most grace, and then cuts them off, which is
// no error. It closes the listener.
func ServeHTTP(ctx context.Context, s *http.Server, l net.Listener, grace time.Duration, clock clockwork.Clock) error {
	failed := make(chan error, 1)
	go func() { failed <- s.Serve(l) }()
	select {
	case err := <-failed:
		// No request may outlive the call.
		return errors.Join(err, s.Close())
	case <-ctx.Done():
	}
	graceful, cancel := clockwork.WithTimeout(context.WithoutCancel(ctx), clock, grace)
	defer cancel()
	err := s.Shutdown(graceful)
	if errors.Is(err, context.DeadlineExceeded) {
		err = s.Close()
	}
	if serveErr := <-failed; !errors.Is(serveErr, http.ErrServerClosed) {
		err = errors.Join(err, serveErr)
	}
	return err
}

// ServeGRPC is ServeHTTP for a gRPC server.
func ServeGRPC(ctx context.Context, s *grpc.Server, l net.Listener, grace time.Duration, clock clockwork.Clock) error {
	failed := make(chan error, 1)
	go func() { failed <- s.Serve(l) }()
	select {
	case err := <-failed:
		s.Stop()
		return err
	case <-ctx.Done():
	}
	stopped := make(chan struct{})
	go func() {
		defer close(stopped)
		s.GracefulStop()
	}()
	timer := clock.NewTimer(grace)
	defer timer.Stop()
	select {
	case <-stopped:
	case <-timer.Chan():
		// It cuts off what is open, and so ends the graceful stop too.
		s.Stop()
		<-stopped
	}
	return <-failed
}
