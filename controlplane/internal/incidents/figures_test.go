package incidents_test

import (
	"fmt"
	"io"
	"net/http"
	"os"
	"slices"
	"strconv"
	"testing"
	"time"

	"github.com/breakwater-cdn/breakwater/controlplane/internal/controlplanetest"
	"github.com/breakwater-cdn/breakwater/sdk/edge/wire"
)

// TestFigures measures and prints the figures of docs/fail-small.md, with the whole fleet.
// BREAKWATER_FIGURES says how often each harm is done, and turns it on.
func TestFigures(t *testing.T) {
	rounds, err := strconv.Atoi(os.Getenv("BREAKWATER_FIGURES"))
	if err != nil || rounds < 1 {
		t.Skip("set BREAKWATER_FIGURES to a number of rounds, or run `make fail-small`")
	}
	p := printer{out: os.Stdout}
	p.line("%-72s %8s %8s %8s", "ms", "p50", "p99", "aim")
	t.Run("harm", func(t *testing.T) { figuresOfHarm(t, p, rounds) })
	t.Run("urgent", func(t *testing.T) { figuresOfUrgency(t, p, 20*rounds) })
}

// printer prints a table.
type printer struct{ out io.Writer }

func (p printer) line(format string, args ...any) { _, _ = fmt.Fprintf(p.out, format+"\n", args...) }

func (p printer) row(name string, took []time.Duration, aim string) {
	p.line("%-72s %8d %8d %8s", fmt.Sprintf("%s (n=%d)", name, len(took)),
		quantile(took, 0.5).Milliseconds(), quantile(took, 0.99).Milliseconds(), aim)
}

// quantile is the smallest value that so many are not above: with few values the largest.
func quantile(all []time.Duration, q float64) time.Duration {
	if len(all) == 0 {
		return 0
	}
	sorted := slices.Sorted(slices.Values(all))
	return sorted[min(len(sorted)-1, int(q*float64(len(sorted))))]
}

// group is how many changes the culprit hides among.
const group = 500

func figuresOfHarm(t *testing.T, p printer, rounds int) {
	t.Helper()
	w := newWorld(t, 1)
	w.every = 10 * time.Millisecond
	sites := make([]string, group)
	for i := range sites {
		sites[i] = fmt.Sprintf("figure%d.test", i)
	}
	w.onboard(sites...)

	exposed := 0
	for i, effect := range []string{"REJECT", "CRASH"} {
		var halted, undone, isolated []time.Duration
		for n := range rounds {
			site := sites[i*rounds+n]
			o := w.watch(wire.Routine)
			w.cp.Bug("harm", "site/"+site, effect, "")
			w.change(site, 700+n)
			w.blamed(site)
			w.cp.Converged()
			out := o.end()
			w.mended("harm")
			exposed = max(exposed, len(out.hurt))
			for _, r := range out.rounds {
				if !r.seen {
					t.Errorf("%s of %s was never seen undone", effect, site)
				}
				halted, undone = append(halted, r.halted), append(undone, r.undone)
			}
			isolated = append(isolated, out.isolated)
		}
		p.row(effect+": first sign of harm -> release abandoned", halted, "2000")
		p.row(effect+": first sign of harm -> all reverted and acknowledged", undone, "5000")
		p.row(effect+": first sign of harm -> culprit in quarantine", isolated, "")
	}
	p.line("data centers that a harmful release reached, at most: %d of 23 (aim: 1)", exposed)

	culprit := sites[group/3]
	o := w.watch(wire.Routine)
	w.cp.Bug("needle", "site/"+culprit, "CRASH", "")
	w.op.OK(http.MethodPost, "/v1/channels/routine:freeze", `{}`)
	for _, s := range sites {
		w.change(s, 900)
	}
	w.op.OK(http.MethodPost, "/v1/channels/routine:unfreeze", `{}`)
	w.blamed(culprit)
	out := o.end()
	p.row(fmt.Sprintf("CRASH: culprit isolated among %d changes, %d data centers hurt", group, len(out.hurt)),
		[]time.Duration{out.isolated}, "30000")
}

func figuresOfUrgency(t *testing.T, p printer, changes int) {
	t.Helper()
	w := newWorld(t, 0)
	w.onboard("urgent.test")
	var took []time.Duration
	levels := []string{"LOW", "HIGH"}
	for n := range changes {
		version := w.op.OK(http.MethodPatch, path("urgent.test")+"/threatSettings",
			fmt.Sprintf(`{"securityLevel": %q}`, levels[n%2])).Int("version")
		committed := time.Now()
		w.op.Stream(fmt.Sprintf("%s/propagation:wait?version=%d", path("urgent.test"), version), func(last controlplanetest.JSON) bool {
			return last.Int("appliedDataCenters") < 23
		})
		took = append(took, time.Since(committed))
	}
	p.row("urgent change committed -> applied in 23 data centers, bakes off", took, "250")
}
