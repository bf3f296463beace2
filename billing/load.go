package billing

import (
	"bytes"
	_ "embed"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"regexp"

	"golang.org/x/text/currency"
	"google.golang.org/protobuf/encoding/protojson"

	breakwaterv1 "github.com/breakwater-cdn/breakwater/api/breakwater/v1"
)

//go:embed plans.json
var plansFile []byte

const namePrefix = "plans/"

var planID = regexp.MustCompile(`^[a-z][a-z0-9-]{1,30}$`)

// catalogue is the data file: what is sold, cheapest first, and in which currency all is priced.
type catalogue struct {
	Currency string      `json:"currency"`
	Plans    []planEntry `json:"plans"`
}

// planEntry is a plan as the data file has it.
type planEntry struct {
	ID           string          `json:"id"`
	DisplayName  string          `json:"displayName"`
	Description  string          `json:"description"`
	PriceCents   *int64          `json:"priceCents"`
	Entitlements json.RawMessage `json:"entitlements"`
}

// Load reads and validates the embedded plans.
func Load() (*Plans, error) { return parse(plansFile) }

func parse(text []byte) (*Plans, error) {
	dec := json.NewDecoder(bytes.NewReader(text))
	dec.DisallowUnknownFields()
	var file catalogue
	if err := dec.Decode(&file); err != nil {
		return nil, fmt.Errorf("billing: plans: %w", err)
	}
	if _, err := dec.Token(); !errors.Is(err, io.EOF) {
		return nil, errors.New("billing: plans: text after the catalogue")
	}
	if err := inCents(file.Currency); err != nil {
		return nil, fmt.Errorf("billing: plans: %w", err)
	}
	entries := file.Plans
	if len(entries) == 0 {
		return nil, errors.New("billing: plans: none is sold")
	}
	p := &Plans{currency: file.Currency, rank: map[string]int{}}
	for i, entry := range entries {
		plan, err := entry.plan(p)
		if err != nil {
			return nil, fmt.Errorf("billing: plan %q: %w", entry.ID, err)
		}
		if _, ok := p.rank[entry.ID]; ok {
			return nil, fmt.Errorf("billing: plan %q: sold twice", entry.ID)
		}
		if i > 0 {
			if *entry.PriceCents <= *entries[i-1].PriceCents {
				return nil, fmt.Errorf("billing: plan %q: not dearer than the one before it", entry.ID)
			}
			if err := notLess(p.ordered[i-1].GetEntitlements(), plan.GetEntitlements()); err != nil {
				return nil, fmt.Errorf("billing: plan %q: %w", entry.ID, err)
			}
		}
		p.rank[entry.ID] = i
		p.ordered = append(p.ordered, plan)
	}
	return p, nil
}

// inCents says what is wrong with a currency: amounts are counted in hundredths of it.
func inCents(code string) error {
	unit, err := currency.ParseISO(code)
	if err != nil || unit.String() != code {
		return fmt.Errorf("currency: %q is no code of ISO 4217, such as USD", code)
	}
	if digits, _ := currency.Standard.Rounding(unit); digits != 2 {
		return fmt.Errorf("currency: %s has no hundredths", code)
	}
	return nil
}

func (e planEntry) plan(p *Plans) (*breakwaterv1.Plan, error) {
	switch {
	case !planID.MatchString(e.ID):
		return nil, errors.New("its ID must be lower-case letters, digits and hyphens")
	case e.DisplayName == "" || e.Description == "":
		return nil, errors.New("displayName and description are needed")
	case e.PriceCents == nil || *e.PriceCents < 0:
		return nil, errors.New("priceCents must be zero or more")
	}
	ent := &breakwaterv1.Entitlements{}
	if err := protojson.Unmarshal(e.Entitlements, ent); err != nil {
		return nil, fmt.Errorf("entitlements: %w", err)
	}
	if err := complete(ent); err != nil {
		return nil, err
	}
	return &breakwaterv1.Plan{
		Name:         namePrefix + e.ID,
		DisplayName:  e.DisplayName,
		Description:  e.Description,
		Price:        p.money(*e.PriceCents),
		Entitlements: ent,
	}, nil
}
