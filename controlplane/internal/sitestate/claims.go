package sitestate

import (
	"errors"
	"slices"
	"time"

	"google.golang.org/protobuf/types/known/timestamppb"

	storev1 "github.com/breakwater-cdn/breakwater/api/breakwater/store/v1"
)

// Bounds of a domain's record.
const (
	// MaxClaims is how many accounts may have one domain at a time.
	MaxClaims = 100
	// maxRetired is how many retired pairs are kept; the ones that end first go first.
	maxRetired = 200
)

// ErrTooManyClaims says that no more accounts can add a domain for now.
var ErrTooManyClaims = errors.New("sitestate: too many accounts have this domain")

// TakenPairs are the pairs of name servers that can't be assigned for the domain: those of
// every claim, and those that are retired.
func TakenPairs(d *storev1.DomainRecord, now time.Time) [][2]string {
	var taken [][2]string
	add := func(pair []string) {
		if len(pair) == 2 {
			taken = append(taken, [2]string(pair))
		}
	}
	for _, c := range d.GetClaims() {
		add(c.GetNameServers())
	}
	for _, r := range d.GetRetired() {
		if now.Before(r.GetUntil().AsTime()) {
			add(r.GetNameServers())
		}
	}
	return taken
}

// Claim notes that an account has the domain, with the name servers that it was assigned,
// if any. It fails with [ErrTooManyClaims].
func Claim(d *storev1.DomainRecord, account string, nameServers []string) error {
	if len(d.GetClaims()) >= MaxClaims {
		return ErrTooManyClaims
	}
	d.Claims = append(d.Claims, &storev1.DomainRecord_Claim{Account: account, NameServers: nameServers})
	return nil
}

// Follow keeps the record true to what happened to an account's site, and says whether it
// changed. A site that left ACTIVE leaves the domain to whoever proves it, unless it was
// suspended: then the domain is, for every account, until an operator ends that on the site
// of any of them. Where another account serves the domain, only the site is suspended.
func Follow(d *storev1.DomainRecord, account string, event Event) (changed bool) {
	active, suspended := d.GetActiveAccount(), d.GetSuspended()
	switch event {
	case Suspend:
		d.Suspended = suspended || active == "" || active == account
	case Unsuspend:
		d.Suspended = false
	case Prove, Lose, Delete, Undelete, GiveUp:
	}
	if event != Prove && active == account {
		d.ActiveAccount = ""
	}
	return d.GetActiveAccount() != active || d.GetSuspended() != suspended
}

// Release ends an account's claim for good: its name servers are not assigned for the
// domain again before until. empty says that nothing of the record is left to keep; that
// the domain is suspended is kept for whoever adds it next.
func Release(d *storev1.DomainRecord, account string, now, until time.Time) (empty bool) {
	if d.GetActiveAccount() == account {
		d.ActiveAccount = ""
	}
	d.Retired = slices.DeleteFunc(d.GetRetired(), func(r *storev1.DomainRecord_Retired) bool {
		return !now.Before(r.GetUntil().AsTime())
	})
	d.Claims = slices.DeleteFunc(d.GetClaims(), func(c *storev1.DomainRecord_Claim) bool {
		if c.GetAccount() != account {
			return false
		}
		if len(c.GetNameServers()) > 0 {
			d.Retired = append(d.Retired, &storev1.DomainRecord_Retired{
				NameServers: c.GetNameServers(), Until: timestamppb.New(until),
			})
		}
		return true
	})
	if over := len(d.GetRetired()) - maxRetired; over > 0 {
		d.Retired = d.GetRetired()[over:]
	}
	return d.GetActiveAccount() == "" && len(d.GetClaims()) == 0 && len(d.GetRetired()) == 0 && !d.GetSuspended()
}
