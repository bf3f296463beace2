package server

import "testing"

// Who is no account has a limit of their own, by no plan.
func TestCallLimitOutsidePlans(t *testing.T) {
	for tenant, want := range map[string]int{
		"operator:": operatorCalls, "operator:ann": operatorCalls,
		"user:a@x.test": outsiderCalls, "address:192.0.2.1": outsiderCalls,
	} {
		if got := (&rooms{}).callLimit(tenant); got != want {
			t.Errorf("%s: %d calls, want %d", tenant, got, want)
		}
	}
}
