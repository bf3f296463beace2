package resource

import (
	"crypto/rand"
	"slices"
	"testing"
	"time"
)

func TestNewIDOrdersByTime(t *testing.T) {
	start := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	var ids []string
	for i := range 1000 {
		ids = append(ids, NewID(start.Add(time.Duration(i)*time.Millisecond), rand.Reader))
	}
	if !slices.IsSorted(ids) {
		t.Error("IDs of growing times do not grow")
	}
	if got := len(slices.Compact(ids)); got != 1000 {
		t.Errorf("%d different IDs of 1000", got)
	}
	for _, id := range ids {
		if !plainID.MatchString(id) {
			t.Errorf("%q can't be the last segment of a name", id)
		}
	}
}
