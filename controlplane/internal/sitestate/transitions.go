package sitestate

import (
	"fmt"
	"time"

	"google.golang.org/protobuf/types/known/timestamppb"

	storev1 "github.com/breakwater-cdn/breakwater/api/breakwater/store/v1"
	breakwaterv1 "github.com/breakwater-cdn/breakwater/api/breakwater/v1"
)

// Event is what may lead a site from one state to another.
type Event string

// The events of a site's life.
const (
	// Prove: its proof was found.
	Prove Event = "prove"
	// Lose: its proof is gone, or another account's was found.
	Lose Event = "lose"
	// Suspend and Unsuspend: an operator takes it off the edge, and lets it go on.
	Suspend   Event = "suspend"
	Unsuspend Event = "unsuspend"
	// Delete and Undelete: its owner does.
	Delete   Event = "delete"
	Undelete Event = "undelete"
	// GiveUp: it waited for its proof, or for its proof to return, for too long.
	GiveUp Event = "give up"
)

// transitions is the whole life of a site. What is not here is refused:
//
//	           prove            lose            suspend          delete
//	PENDING ----------> ACTIVE -------> MOVED     any ------> SUSPENDED   PENDING, ACTIVE, MOVED -> DELETED
//	   ^                   ^             | prove                 | unsuspend       |
//	   |                   +-------------+                       v                 | undelete
//	   +------------------------------------------------------ PENDING <-----------+
//
// A suspended site is not deleted, since undeleting it, or adding it again, would end the
// suspension. Adding its domain in another account does not end it either: the domain's record
// remembers it ([Follow]), and a proof then leads to SUSPENDED in place of ACTIVE. PENDING and MOVED sites that are given up become DELETED with nothing left to
// wait for.
var transitions = map[breakwaterv1.Site_State]map[Event]breakwaterv1.Site_State{
	breakwaterv1.Site_PENDING: {
		Prove:   breakwaterv1.Site_ACTIVE,
		Suspend: breakwaterv1.Site_SUSPENDED,
		Delete:  breakwaterv1.Site_DELETED,
		GiveUp:  breakwaterv1.Site_DELETED,
	},
	breakwaterv1.Site_ACTIVE: {
		Lose:    breakwaterv1.Site_MOVED,
		Suspend: breakwaterv1.Site_SUSPENDED,
		Delete:  breakwaterv1.Site_DELETED,
	},
	breakwaterv1.Site_MOVED: {
		Prove:   breakwaterv1.Site_ACTIVE,
		Suspend: breakwaterv1.Site_SUSPENDED,
		Delete:  breakwaterv1.Site_DELETED,
		GiveUp:  breakwaterv1.Site_DELETED,
	},
	breakwaterv1.Site_SUSPENDED: {
		Unsuspend: breakwaterv1.Site_PENDING,
	},
	breakwaterv1.Site_DELETED: {
		Undelete: breakwaterv1.Site_PENDING,
	},
}

// StateError says that an event can't happen to a site in its state.
type StateError struct {
	State breakwaterv1.Site_State
	Event Event
}

func (e *StateError) Error() string {
	return fmt.Sprintf("sitestate: can't %s a site that is %s", e.Event, e.State)
}

// Next is the state that an event leads to, or a [*StateError].
func Next(state breakwaterv1.Site_State, event Event) (breakwaterv1.Site_State, error) {
	next, ok := transitions[state][event]
	if !ok {
		return state, &StateError{State: state, Event: event}
	}
	return next, nil
}

// Times are how long a site stays where it is waiting.
type Times struct {
	// FirstCheck is the wait before the first check of a proof.
	FirstCheck time.Duration
	// Pending is how long an unpaid site waits for its proof.
	Pending time.Duration
	// Moved is how long a site is kept whose proof is gone.
	Moved time.Duration
	// Deleted is how long a deleted site can be brought back.
	Deleted time.Duration
	// Retired is how long a purged site's name servers are not assigned for its domain.
	Retired time.Duration
	// DevelopmentMode is how long development mode lasts.
	DevelopmentMode time.Duration
}

const day = 24 * time.Hour

// Production are the times of a real deployment.
func Production() Times {
	return Times{
		FirstCheck: time.Minute, Pending: 28 * day, Moved: 7 * day, Deleted: 7 * day,
		Retired: 90 * day, DevelopmentMode: 3 * time.Hour,
	}
}

// Development are the times where everything is on one machine: as in production, but
// that nobody waits for the first check.
func Development() Times {
	t := Production()
	t.FirstCheck = time.Second
	return t
}

// Step moves the site to the state that the event leads to, with the times that go with it:
// when it is checked, given up or purged. free says that nobody pays for it. The caller
// makes the version.
func Step(rec *storev1.SiteRecord, event Event, reason string, free bool, now time.Time, times Times) error {
	site := rec.GetSite()
	next, err := Next(site.GetState(), event)
	if err != nil {
		return err
	}
	check := site.GetActivationCheck()
	if check == nil {
		check = &breakwaterv1.Site_ActivationCheck{}
		site.ActivationCheck = check
	}
	site.State, site.StateReason = next, reason
	site.ExpireTime, site.PurgeTime, site.DeleteTime = nil, nil, nil
	switch next {
	case breakwaterv1.Site_PENDING:
		Await(rec, free, now, times)
	case breakwaterv1.Site_ACTIVE:
		site.ActivateTime = timestamppb.New(now)
	case breakwaterv1.Site_MOVED:
		site.PurgeTime = timestamppb.New(now.Add(times.Moved))
		check.Attempts = 0
	case breakwaterv1.Site_SUSPENDED:
		check.NextCheckTime = nil
	case breakwaterv1.Site_DELETED:
		check.NextCheckTime = nil
		site.DeleteTime = timestamppb.New(now)
		site.PurgeTime = timestamppb.New(now.Add(times.Deleted))
		if event == GiveUp {
			site.PurgeTime = timestamppb.New(now)
		}
	case breakwaterv1.Site_STATE_UNSPECIFIED: // The table leads to no such state.
	}
	return nil
}

// Await makes the site wait for its proof from now on.
func Await(rec *storev1.SiteRecord, free bool, now time.Time, times Times) {
	site := rec.GetSite()
	site.State = breakwaterv1.Site_PENDING
	site.ActivationCheck = &breakwaterv1.Site_ActivationCheck{NextCheckTime: timestamppb.New(now.Add(times.FirstCheck))}
	if free {
		site.ExpireTime = timestamppb.New(now.Add(times.Pending))
	}
}
