package fleetdata_test

import (
	"strings"
	"testing"

	"github.com/breakwater-cdn/breakwater/controlplane/internal/fleetdata"
)

func TestLoad(t *testing.T) {
	fleet, err := fleetdata.Load()
	if err != nil {
		t.Fatal(err)
	}
	if len(fleet) != 23 {
		t.Errorf("%d data centers, not 23", len(fleet))
	}
	at := map[[2]float64]string{}
	for _, dc := range fleet {
		place := [2]float64{dc.Latitude, dc.Longitude}
		if other, ok := at[place]; ok {
			t.Errorf("%s and %s are at one place", dc.Code, other)
		}
		at[place] = dc.Code
	}
}

func TestParse(t *testing.T) {
	const sjc = `{"code":"SJC","city":"San Jose","country":"US","latitude":37.4,"longitude":-121.9}`
	for text, want := range map[string]string{
		`[` + sjc + `]`:             "",
		`[]`:                        "no data center",
		`{}`:                        "fleetdata",
		`[` + sjc + `,` + sjc + `]`: "SJC is there twice",
		`[` + strings.Replace(sjc, "SJC", "sjc", 1) + `]`:      "entry 0",
		`[` + strings.Replace(sjc, "37.4", "91", 1) + `]`:      "nowhere",
		`[` + strings.Replace(sjc, "US", "USA", 1) + `]`:       "USA",
		`[` + strings.Replace(sjc, "latitude", "lat", 1) + `]`: "lat",
	} {
		_, err := fleetdata.Parse([]byte(text))
		if (err == nil) != (want == "") || err != nil && !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v", text, err)
		}
	}
}
