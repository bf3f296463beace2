package store

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/breakwater-cdn/breakwater/sdk/edge/wire"
)

// TestFull has writes fail at every step: nothing changes, what was begun makes room for
// what is begun next, and a whole store opens without a write.
func TestFull(t *testing.T) {
	var fault error
	path := filepath.Join(t.TempDir(), "s.db")
	options := Options{NoSync: true, CheckpointEvery: 6, Fault: func() error { return fault }}
	s, err := Open(path, options)
	if err != nil {
		t.Fatal(err)
	}
	w := fill(t, s, 5)
	was := w.docs
	w.begin(t, map[string]string{"a": "begun", "gone": "1"})
	for _, full := range []error{
		&os.PathError{Op: "write", Path: path, Err: syscall.ENOSPC},
		fmt.Errorf("file resize error: %s", syscall.ENOSPC), //nolint:errorlint // as bbolt does it
	} {
		fault = full
		for what, err := range map[string]error{"finish": s.Finish(channel), "undo": s.Undo(channel, nil), "stop": s.Stopped()} {
			if !errors.Is(err, ErrFull) || s.Damaged() {
				t.Errorf("%s: %v", what, err)
			}
		}
	}
	holds(t, s, was, 5)
	shut(t, s)
	if s, err = Open(path, options); err != nil {
		t.Fatal(err)
	}
	holds(t, s, was, 5)
	if _, pending := s.Pending(channel); !pending {
		t.Error("what was begun is gone")
	}

	fault = nil
	w.s, w.docs = s, was
	w.begin(t, map[string]string{"a": "next"})
	if err := s.Finish(channel); err != nil {
		t.Fatal(err)
	}
	holds(t, s, w.docs, 7)
	leaks(t, s)
	shut(t, s)
	s = open(t, path)
	holds(t, s, w.docs, 7)
	shut(t, s)
}

func TestCrashesInARow(t *testing.T) {
	s := open(t, filepath.Join(t.TempDir(), "s.db"))
	defer shut(t, s)
	w := fill(t, s, 3)
	crashed := func(want int) {
		t.Helper()
		times, err := s.Crashed()
		if err != nil || times[channel] != want || s.Crashes() != want {
			t.Errorf("%v, not %d: %v", times, want, err)
		}
	}
	for want := 1; want <= 4; want++ {
		crashed(want)
	}
	if times, err := s.GivenUp(2); times != 1 || err != nil || s.Crashes() != 2 {
		t.Errorf("%d, %v; %d crashes are left", times, err, s.Crashes())
	}
	crashed(3)
	w.begin(t, map[string]string{"a": "new"})
	if err := s.Finish(channel); err != nil {
		t.Fatal(err)
	}
	crashed(1)
	for _, want := range []bool{true, false} {
		if some, err := s.Lasted(); some != want || err != nil {
			t.Errorf("%v, %v", some, err)
		}
	}
	crashed(1)
	if times, err := s.GivenUp(2); times != 1 || err != nil {
		t.Errorf("%d, %v", times, err)
	}
	if g, ok := s.Before(channel, 4); !ok || g.Release != 3 {
		t.Errorf("before release 4 there is %+v", g)
	}
	if _, ok := s.Before(channel, 1); ok {
		t.Error("there is something before the first release")
	}
}

func TestLost(t *testing.T) {
	path := filepath.Join(t.TempDir(), "s.db")
	lost := func(s *Store, want ...wire.Channel) {
		t.Helper()
		var got []wire.Channel
		for _, c := range wire.Channels() {
			if s.Lost(c) {
				got = append(got, c)
			}
		}
		if fmt.Sprint(got) != fmt.Sprint(want) {
			t.Errorf("lost are %v, not %v", got, want)
		}
	}
	s := open(t, path)
	lost(s)
	w := fill(t, s, 2)
	shut(t, s)
	if err := os.WriteFile(path, []byte(strings.Repeat("not a database", 1000)), 0o600); err != nil {
		t.Fatal(err)
	}
	for range 2 {
		s = open(t, path)
		lost(s, wire.Channels()...)
		shut(t, s)
	}
	s = open(t, path)
	defer shut(t, s)
	w.s, w.docs = s, documents{}
	w.begin(t, map[string]string{"a": "again"})
	if err := s.Finish(channel); err != nil {
		t.Fatal(err)
	}
	lost(s, wire.Urgent, wire.Platform)
	if err := s.SetLost(wire.Urgent, false); err != nil {
		t.Fatal(err)
	}
	lost(s, wire.Platform)
}
