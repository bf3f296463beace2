package fleetdata

import (
	"bytes"
	_ "embed" // for the list
	"encoding/json"
	"fmt"
	"regexp"
	"slices"
	"strings"
)

// DataCenter is one edge location.
type DataCenter struct {
	// Code is the IATA code of the nearest airport, such as SJC.
	Code string `json:"code"`
	City string `json:"city"`
	// Country is an ISO 3166-1 alpha-2 code.
	Country string `json:"country"`
	// Latitude and Longitude are in degrees, north and east positive.
	Latitude  float64 `json:"latitude"`
	Longitude float64 `json:"longitude"`
}

//go:embed fleet.json
var list []byte

// Load returns the built-in fleet of 23 data centers, in order of their codes.
func Load() ([]DataCenter, error) { return Parse(list) }

var (
	code    = regexp.MustCompile(`^[A-Z]{3}$`)
	country = regexp.MustCompile(`^[A-Z]{2}$`)
)

// Parse reads a fleet from JSON, checks it, and returns it in order of codes. An error
// names the entry at fault.
func Parse(text []byte) ([]DataCenter, error) {
	decoder := json.NewDecoder(bytes.NewReader(text))
	decoder.DisallowUnknownFields()
	var fleet []DataCenter
	if err := decoder.Decode(&fleet); err != nil {
		return nil, fmt.Errorf("fleetdata: %w", err)
	}
	if len(fleet) == 0 {
		return nil, fmt.Errorf("fleetdata: no data center")
	}
	seen := map[string]bool{}
	for i, dc := range fleet {
		switch {
		case !code.MatchString(dc.Code):
			return nil, fmt.Errorf("fleetdata: entry %d: code %q is not an IATA code", i, dc.Code)
		case seen[dc.Code]:
			return nil, fmt.Errorf("fleetdata: entry %d: %s is there twice", i, dc.Code)
		case dc.City == "" || !country.MatchString(dc.Country):
			return nil, fmt.Errorf("fleetdata: %s: city %q, country %q", dc.Code, dc.City, dc.Country)
		case dc.Latitude < -90 || dc.Latitude > 90 || dc.Longitude < -180 || dc.Longitude > 180:
			return nil, fmt.Errorf("fleetdata: %s: %v, %v is nowhere", dc.Code, dc.Latitude, dc.Longitude)
		}
		seen[dc.Code] = true
	}
	slices.SortFunc(fleet, func(a, b DataCenter) int { return strings.Compare(a.Code, b.Code) })
	return fleet, nil
}
