package billing

import (
	"errors"
	"fmt"
	"slices"

	"google.golang.org/protobuf/reflect/protoreflect"

	breakwaterv1 "github.com/breakwater-cdn/breakwater/api/breakwater/v1"
)

// complete says whether every count is given: a zero that somebody forgot would refuse
// everything.
func complete(e *breakwaterv1.Entitlements) error {
	m := e.ProtoReflect()
	for i := range m.Descriptor().Fields().Len() {
		f := m.Descriptor().Fields().Get(i)
		if f.Kind() == protoreflect.Int32Kind && m.Get(f).Int() < 1 {
			return fmt.Errorf("entitlements: %s must be at least 1", f.JSONName())
		}
	}
	if len(e.GetAlertDestinationKinds()) == 0 {
		return errors.New("entitlements: alertDestinationKinds is empty")
	}
	if sla := e.GetSlaPercent(); sla < 0 || sla > 100 {
		return errors.New("entitlements: slaPercent is no percentage")
	}
	return nil
}

// notLess says whether the dearer of two plans takes nothing away: an upgrade must never
// turn anything off.
func notLess(cheaper, dearer *breakwaterv1.Entitlements) error {
	a, b := cheaper.ProtoReflect(), dearer.ProtoReflect()
	for i := range a.Descriptor().Fields().Len() {
		f := a.Descriptor().Fields().Get(i)
		if f.Kind() != protoreflect.Int32Kind {
			continue
		}
		less := b.Get(f).Int() < a.Get(f).Int()
		if f.Name() == "activation_recheck_seconds" { // A wait, so less is more.
			less = b.Get(f).Int() > a.Get(f).Int()
		}
		if less {
			return fmt.Errorf("entitlements: %s is worse than in the cheaper plan", f.JSONName())
		}
	}
	for _, kind := range cheaper.GetAlertDestinationKinds() {
		if !slices.Contains(dearer.GetAlertDestinationKinds(), kind) {
			return fmt.Errorf("entitlements: alertDestinationKinds lacks %s of the cheaper plan", kind)
		}
	}
	if dearer.GetSlaPercent() < cheaper.GetSlaPercent() {
		return errors.New("entitlements: slaPercent is worse than in the cheaper plan")
	}
	return nil
}
