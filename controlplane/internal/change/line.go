package change

import (
	"context"
	"sync"
)

// lines lets changes that lost a compare on the same key go one after another within this
// server, so that many changes of one thing cost two attempts each in place of starving
// each other. Between replicas the compares alone decide.
type lines struct {
	mu   sync.Mutex
	keys map[string]*line
}

// line is the queue of one key. It exists while somebody is in it.
type line struct {
	place chan struct{} // holds one token while nobody is at the front
	in    int
}

func newLines() *lines { return &lines{keys: map[string]*line{}} }

// join waits for the front of the key's line. leave must be called once. waited says that
// others went before.
func (l *lines) join(ctx context.Context, key string) (leave func(), waited bool, err error) {
	l.mu.Lock()
	q, ok := l.keys[key]
	if !ok {
		q = &line{place: make(chan struct{}, 1)}
		q.place <- struct{}{}
		l.keys[key] = q
	}
	waited = q.in > 0
	q.in++
	l.mu.Unlock()

	select {
	case <-q.place:
		return func() {
			q.place <- struct{}{}
			l.out(key, q)
		}, waited, nil
	case <-ctx.Done():
		l.out(key, q)
		return nil, waited, ctx.Err()
	}
}

// busy finds a key of those that somebody is in line for.
func (l *lines) busy(keys map[string]int64) (string, bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if len(l.keys) == 0 {
		return "", false
	}
	for key := range keys {
		if _, ok := l.keys[key]; ok {
			return key, true
		}
	}
	return "", false
}

func (l *lines) out(key string, q *line) {
	l.mu.Lock()
	defer l.mu.Unlock()
	q.in--
	if q.in == 0 {
		delete(l.keys, key)
	}
}
