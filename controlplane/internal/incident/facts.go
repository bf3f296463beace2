package incident

import (
	"strconv"
	"strings"
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
	// Harm are the releases that were taken back and were not told of yet, oldest first.
	Harm []Harm
	// Quarantines are the documents that are held. They need not be news.
	Quarantines []Quarantine
	// Reverts are the good releases that operators undid, oldest first. Reverting says that
	// what undoes them did not pass every wave.
	Reverts   []Revert
	Reverting bool
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
	return !c.Reverting && !c.Searching && !c.Exhausted && !c.Recovering && c.Behind == 0 && c.Eligible > 0
}

// Harm is an abandoned release that hurt, or that was abandoned after its first wave.
type Harm struct {
	Release int64
	// DataCenters are those that were seen to be hurt: none where an operator took it back, or
	// a server of a later wave refused it. Reached are those that the release was taken back
	// from.
	DataCenters, Reached []string
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

// Revert is a good release that operators undid.
type Revert struct {
	Release int64
	// DataCenters are those that had it.
	DataCenters []string
	// Changes is how many documents are held back, Sites the digests of their sites.
	Changes int
	Sites   []uint64
}

// Quarantine is a document that is held at its good version.
type Quarantine struct {
	// Document is the same for every quarantine of a document.
	Document string
	// Created is when it began.
	Created time.Time
	// Accounts are whose document it is; Everyone says that it is the platform's.
	Accounts []string
	Everyone bool
	// Sites has the digest of the document's site, if any.
	Sites []uint64
}

// key tells quarantines of one document apart, too.
func (q *Quarantine) key() string {
	return q.Document + "@" + strconv.FormatInt(q.Created.UnixMilli(), 10)
}

// documentOf is the document of a quarantine's key.
func documentOf(key string) string {
	document, _, _ := strings.Cut(key, "@")
	return document
}
