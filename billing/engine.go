package billing

import (
	"log/slog"
	"time"

	"github.com/jonboulle/clockwork"
)

// Defaults of [Config].
const (
	defaultQuoteLife = 15 * time.Minute
	defaultGrace     = 14 * 24 * time.Hour
	defaultWriteOff  = 60 * 24 * time.Hour
)

// Config is what an [Engine] is made of. Durations that are zero have their defaults.
type Config struct {
	Plans    *Plans
	Provider Provider
	Store    Store
	// Clock is the time of day.
	Clock clockwork.Clock
	// NewID makes IDs that nobody made before, from a time.
	NewID func(time.Time) string
	// QuoteKey signs quotes; at least 16 bytes, the same in every replica.
	QuoteKey []byte
	Logger   *slog.Logger

	// QuoteLife is how long a quote holds: 15 minutes.
	QuoteLife time.Duration
	// Grace is how long everything holds while an invoice is overdue: 14 days.
	Grace time.Duration
	// WriteOff is how long paid sites are degraded before the debt is written off: 60 days.
	WriteOff time.Duration
}

// Engine decides what accounts pay and carries it out; see the package's documentation. Its
// methods may be called concurrently.
type Engine struct {
	provider Provider
	store    Store
	clock    clockwork.Clock
	logger   *slog.Logger
	quoteKey []byte
	rules    rules
}

// rules are the pure core: what follows from an account's record at a time, and what becomes
// of the record. They do nothing but what a [Tx] offers.
type rules struct {
	plans                      *Plans
	newID                      func(time.Time) string
	quoteLife, grace, writeOff time.Duration
}

// New returns an engine; Config's fields but the durations must be set.
func New(cfg Config) *Engine {
	return &Engine{
		provider: cfg.Provider,
		store:    cfg.Store,
		clock:    cfg.Clock,
		logger:   cfg.Logger,
		quoteKey: cfg.QuoteKey,
		rules: rules{
			plans:     cfg.Plans,
			newID:     cfg.NewID,
			quoteLife: orDefault(cfg.QuoteLife, defaultQuoteLife),
			grace:     orDefault(cfg.Grace, defaultGrace),
			writeOff:  orDefault(cfg.WriteOff, defaultWriteOff),
		},
	}
}

// Currency is the plans' currency, see [Plans.Currency].
func (e *Engine) Currency() string { return e.rules.plans.Currency() }

func orDefault(d, otherwise time.Duration) time.Duration {
	if d == 0 {
		return otherwise
	}
	return d
}
