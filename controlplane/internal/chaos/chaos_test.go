package chaos

import (
	"math/rand/v2"
	"os"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"
)

// short is how many of the faults happen in the short run, the first ones of [faults]: not
// those that a busy machine takes long for.
const short = 5

// TestChaos hurts an installation while people use it. With BREAKWATER_CHAOS set to a
// duration it goes on that long, with faults in random order.
func TestChaos(t *testing.T) {
	w := newWorld(t, options{})
	domains := []string{"one.example", "two.example", "three.example"}
	for _, d := range domains {
		w.site(account, d)
	}
	for _, d := range domains {
		w.live(account, d)
	}
	h := w.begin(domains...)
	known := faults()
	for _, f := range known[:short] {
		w.inflict(h, f)
	}
	if text := os.Getenv("BREAKWATER_CHAOS"); text != "" {
		w.long(h, known, text)
	}
	h.end()
}

// long inflicts random faults for a while.
func (w *world) long(h *history, known []fault, text string) {
	w.t.Helper()
	duration, err := time.ParseDuration(text)
	if err != nil {
		w.t.Fatalf("BREAKWATER_CHAOS: %v", err)
	}
	seed := uint64(time.Now().UnixNano())
	if s := os.Getenv("BREAKWATER_CHAOS_SEED"); s != "" {
		if seed, err = strconv.ParseUint(s, 10, 64); err != nil {
			w.t.Fatalf("BREAKWATER_CHAOS_SEED: %v", err)
		}
	}
	w.t.Logf("BREAKWATER_CHAOS_SEED=%d", seed)
	if only := os.Getenv("BREAKWATER_CHAOS_FAULT"); only != "" {
		known = slices.DeleteFunc(known, func(f fault) bool { return !strings.Contains(f.name, only) })
		if len(known) == 0 {
			w.t.Fatalf("BREAKWATER_CHAOS_FAULT: no fault has %q in its name", only)
		}
	}
	random := rand.New(rand.NewPCG(seed, 0))
	var next []int // every fault happens once before any happens again
	for end := time.Now().Add(duration); time.Now().Before(end) && !w.t.Failed(); {
		if len(next) == 0 {
			next = random.Perm(len(known))
		}
		w.inflict(h, known[next[0]])
		next = next[1:]
	}
}

// inflict lets a fault happen, and waits until users' changes are acknowledged again.
func (w *world) inflict(h *history, f fault) {
	w.t.Helper()
	began := time.Now()
	f.do(w)
	healed := time.Now()
	before := make([]int64, len(h.writers))
	for i, wr := range h.writers {
		before[i] = wr.done()
	}
	h.progress(before)
	w.t.Logf("%s: it lasted %v; all wrote again %v after", f.name,
		healed.Sub(began).Round(10*time.Millisecond), time.Since(healed).Round(10*time.Millisecond))
}
