package server_test

import (
	"cmp"
	"context"
	"slices"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"
)

// clients is how many callers each side of a comparison has.
const clients = 64

// turn is how long a contender runs before the next one does, and turns how often each of
// them runs.
const (
	turn  = time.Second
	turns = 7
)

// contender is one side of a comparison. do makes call n of a client; n grows for ever.
type contender struct {
	name string
	do   func(ctx context.Context, client, n int) error

	made  [clients]int
	rates []float64
	took  []time.Duration
	// cpu is the processor time that one call cost this process, caller and etcd included,
	// in microseconds. What else the machine does changes it least of all figures.
	cpu []float64
}

// compete runs the contenders in turns, after one turn of each that does not count.
func compete(b *testing.B, all ...*contender) {
	b.Helper()
	for round := range turns + 1 {
		for _, c := range all {
			before := cpuTime(b)
			rate, took := c.run(b)
			used := cpuTime(b) - before
			if round > 0 {
				c.rates = append(c.rates, rate)
				c.cpu = append(c.cpu, float64(used.Microseconds())/float64(len(took)))
				c.took = append(c.took, took...)
			}
		}
	}
}

// cpuTime is what this process used so far.
func cpuTime(b *testing.B) time.Duration {
	b.Helper()
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		b.Fatal(err)
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

// run makes calls for one turn and returns how many a second were made, and what each took.
func (c *contender) run(b *testing.B) (perSecond float64, took []time.Duration) {
	b.Helper()
	var (
		wg     sync.WaitGroup
		mu     sync.Mutex
		failed atomic.Pointer[error]
	)
	began := time.Now()
	for client := range clients {
		wg.Go(func() {
			var mine []time.Duration
			for time.Since(began) < turn && failed.Load() == nil {
				c.made[client]++
				start := time.Now()
				if err := c.do(b.Context(), client, c.made[client]); err != nil {
					failed.Store(&err)
					return
				}
				mine = append(mine, time.Since(start))
			}
			mu.Lock()
			defer mu.Unlock()
			took = append(took, mine...)
		})
	}
	wg.Wait()
	if err := failed.Load(); err != nil {
		b.Fatalf("%s: %v", c.name, *err)
	}
	return float64(len(took)) / time.Since(began).Seconds(), took
}

// ratio is the median, over the turns, of what c came to as part of what other did.
func ratio(c, other []float64) float64 {
	var each []float64
	for i := range c {
		each = append(each, c[i]/other[i])
	}
	return median(each)
}

func median(values []float64) float64 { return quantile(values, 0.5) }

// quantile returns the value below which the part q of the values is.
func quantile[T cmp.Ordered](values []T, q float64) T {
	sorted := slices.Sorted(slices.Values(values))
	return sorted[min(int(q*float64(len(sorted))), len(sorted)-1)]
}
