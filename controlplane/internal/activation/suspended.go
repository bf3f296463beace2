package activation

import (
	"github.com/breakwater-cdn/breakwater/controlplane/internal/domain"
	"github.com/breakwater-cdn/breakwater/controlplane/internal/sitestate"
)

// suspended suspends a site whose proof was found where the domain, or one above it, is
// suspended, and says whether it did: otherwise adding the domain in another account would
// end what an operator decided.
func (e *edit) suspended() (bool, error) {
	d, err := domain.Parse(e.rec.GetSite().GetDomain())
	if err != nil {
		return false, err
	}
	name, err := sitestate.SuspendedDomain(e.tx, d)
	if err != nil || name == "" {
		return false, err
	}
	reason := "its proof was found, but an operator suspended " + name + " and has to let it go on"
	if err := sitestate.Step(e.rec, sitestate.Suspend, reason, e.free(), e.tx.Now(), e.w.cfg.Times); err != nil {
		return false, err
	}
	return true, e.version(e.tx, "SuspendSite", "site suspended: "+reason, "state")
}
