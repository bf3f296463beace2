package lifecycle

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"sync"
	"time"

	"github.com/jonboulle/clockwork"
)

const (
	defaultCheckTimeout = 2 * time.Second
	// reportAge is how long a report is good for, so that probes cost little however often
	// they come.
	reportAge = 250 * time.Millisecond
)

// Check says whether a part can do its work. It heeds its context. The words of an error
// that [NotReady] made are told to anyone; of others only the check's name is.
type Check func(context.Context) error

// NotReady makes an error whose words are fit for everybody.
func NotReady(format string, args ...any) error {
	return &notReadyError{fmt.Sprintf(format, args...)}
}

type notReadyError struct{ message string }

func (e *notReadyError) Error() string { return e.message }

// Failure is a check that failed.
type Failure struct {
	// Check is its name.
	Check string `json:"check"`
	// Message says why, in words for everybody.
	Message string `json:"message"`
}

// Report is the answer to whether the program is ready.
type Report struct {
	Ready    bool      `json:"ready"`
	Failures []Failure `json:"failures"`
}

// Ready asks all checks at once whether the program can do its work, and answers for
// /readyz: 200, or 503 with what failed.
type Ready struct {
	clock   clockwork.Clock
	logger  *slog.Logger
	timeout time.Duration

	// asking is held while the checks run, so that they run once however many ask.
	asking sync.Mutex
	last   Report
	asked  time.Time

	mu       sync.Mutex
	names    []string
	checks   []Check
	stopping bool
}

// NewReady returns a Ready without checks. Each check has timeout to answer, 2 s when zero.
// Causes that are not for everybody are logged.
func NewReady(timeout time.Duration, clock clockwork.Clock, logger *slog.Logger) *Ready {
	if timeout <= 0 {
		timeout = defaultCheckTimeout
	}
	return &Ready{clock: clock, logger: logger, timeout: timeout}
}

// Add adds a check.
func (r *Ready) Add(name string, check Check) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.names = append(r.names, name)
	r.checks = append(r.checks, check)
}

// Stopping makes the program not ready for good, so that load balancers look elsewhere
// before it stops.
func (r *Ready) Stopping() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.stopping = true
}

// Report runs the checks, or returns what they said a moment ago.
func (r *Ready) Report(ctx context.Context) Report {
	r.mu.Lock()
	names, checks, stopping := r.names, r.checks, r.stopping
	r.mu.Unlock()
	if stopping {
		return Report{Failures: []Failure{{Check: "lifecycle", Message: "the server is stopping"}}}
	}
	r.asking.Lock()
	defer r.asking.Unlock()
	if !r.asked.IsZero() && r.clock.Since(r.asked) < reportAge {
		return r.last
	}
	// Others will be told this answer, so it must not depend on who asked first.
	ctx, cancel := clockwork.WithTimeout(context.WithoutCancel(ctx), r.clock, r.timeout)
	defer cancel()
	errs := make([]error, len(checks))
	var running sync.WaitGroup
	for i, check := range checks {
		running.Go(func() { errs[i] = check(ctx) })
	}
	running.Wait()
	report := Report{Ready: true, Failures: []Failure{}}
	for i, err := range errs {
		if err == nil {
			continue
		}
		report.Ready = false
		report.Failures = append(report.Failures, Failure{Check: names[i], Message: r.words(ctx, names[i], err)})
	}
	r.last, r.asked = report, r.clock.Now()
	return report
}

func (r *Ready) words(ctx context.Context, name string, err error) string {
	var public *notReadyError
	switch {
	case errors.As(err, &public):
		return public.message
	case errors.Is(err, context.DeadlineExceeded):
		return "did not answer in time"
	}
	r.logger.LogAttrs(ctx, slog.LevelWarn, "not ready", slog.String("check", name), slog.Any("error", err))
	return "failed"
}

// ServeHTTP implements http.Handler.
func (r *Ready) ServeHTTP(w http.ResponseWriter, req *http.Request) {
	report := r.Report(req.Context())
	code := http.StatusOK
	if !report.Ready {
		code = http.StatusServiceUnavailable
	}
	writeJSON(w, code, report)
}

// Healthy answers for /healthz: that the process serves at all.
func Healthy() http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		writeJSON(w, http.StatusOK, map[string]string{"status": "ok"})
	})
}

func writeJSON(w http.ResponseWriter, code int, body any) {
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Cache-Control", "no-store")
	w.WriteHeader(code)
	// A probe that is gone needs no answer.
	_ = json.NewEncoder(w).Encode(body)
}
