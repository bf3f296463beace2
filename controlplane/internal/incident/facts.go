package incident

import (
	"time"

	"github.com/breakwater-cdn/breakwater/sdk/edge/wire"
)

// Facts is what is stored, as far as it matters here.
type Facts struct {
	// Now is the time of the day.
	Now time.Time
	// Channels has one entry a channel.
	Channels []Channel
	// Lost are the data centers that have not reported for a while, Silent those that do not
	// report now, by code. Known is how many ever did.
	Lost, Silent []string
	Known        int
}

// Channel is how one channel does.
type Channel struct {
	Channel wire.Channel
	// Harm are the releases that hurt and were not told of yet, oldest first.
	Harm []Harm
	// Quarantines are the documents that are held, and not told of yet.
	Quarantines []Quarantine
	// Searching says that the changes at fault are looked for, Exhausted that the search
	// gave up with Suspects changes left.
	Searching, Exhausted bool
	Suspects             int
	// Recovering says that a data center that was hurt has not recovered.
	Recovering bool
	// Eligible is how many data centers take part, Behind how many of them do not serve a
	// live release well.
	Eligible, Behind int
}

// well says whether nothing is left to be done.
func (c *Channel) well() bool {
	return !c.Searching && !c.Exhausted && !c.Recovering && c.Behind == 0 && c.Eligible > 0
}

// Harm is an abandoned release that hurt.
type Harm struct {
	Release     int64
	DataCenters []string
	// Parent is what it stood on, and Reason why it was abandoned. They only tell what was
	// abandoned together: a reason may quote documents. Last is the newest of the releases
	// that were taken back together with it.
	Parent, Last int64
	Reason       string
	// Trial says that it was sealed to find the changes at fault.
	Trial bool
	// Changes is how many documents it changed, Sites the digests of their sites.
	Changes int
	Sites   []uint64
}

// Quarantine is a document that is held at its good version.
type Quarantine struct {
	// Key is the same as long as the quarantine lasts.
	Key string
	// Release is the one that brought it.
	Release int64
	// Accounts are whose document it is; Everyone says that it is the platform's.
	Accounts []string
	Everyone bool
}
