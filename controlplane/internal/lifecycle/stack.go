package lifecycle

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
)

// Stack closes things in the reverse of the order in which they were pushed. The zero value
// is empty and ready.
//
// A constructor pushes as it opens, and closes the stack where a later step fails:
//
//	defer func() {
//		if err != nil {
//			err = errors.Join(err, stack.Close(ctx))
//		}
//	}()
type Stack struct {
	mu      sync.Mutex
	entries []entry
	closed  bool
	err     error
}

type entry struct {
	name  string
	close func(context.Context) error
}

// Push adds something to close. The name is for the error. On a closed stack it is closed
// at once, because nobody else would.
func (s *Stack) Push(name string, closeFunc func(context.Context) error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	e := entry{name, closeFunc}
	if s.closed {
		s.err = errors.Join(s.err, e.run(context.Background()))
		return
	}
	s.entries = append(s.entries, e)
}

// PushClose is Push for a Close that takes no context and so should not take long.
func (s *Stack) PushClose(name string, closeFunc func() error) {
	s.Push(name, func(context.Context) error { return closeFunc() })
}

// Close closes everything, last first, also after errors, and returns them all with their
// names. The context bounds what heeds it. A second Close waits for the first and returns
// the same.
func (s *Stack) Close(ctx context.Context) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.closed = true
	for _, e := range slices.Backward(s.entries) {
		s.err = errors.Join(s.err, e.run(ctx))
	}
	s.entries = nil
	return s.err
}

func (e entry) run(ctx context.Context) error {
	if err := e.close(ctx); err != nil {
		return fmt.Errorf("close %s: %w", e.name, err)
	}
	return nil
}
