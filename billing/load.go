package billing

import (
	"bytes"
	_ "embed"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"regexp"

	"google.golang.org/genproto/googleapis/type/money"
	"google.golang.org/protobuf/encoding/protojson"

	breakwaterv1 "github.com/breakwater-cdn/breakwater/api/breakwater/v1"
)

//go:embed plans.json
var plansFile []byte

const (
	namePrefix = "plans/"
	currency   = "USD"
)

var planID = regexp.MustCompile(`^[a-z][a-z0-9-]{1,30}$`)

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

func parse(file []byte) (*Plans, error) {
	dec := json.NewDecoder(bytes.NewReader(file))
	dec.DisallowUnknownFields()
	var entries []planEntry
	if err := dec.Decode(&entries); err != nil {
		return nil, fmt.Errorf("billing: plans: %w", err)
	}
	if _, err := dec.Token(); !errors.Is(err, io.EOF) {
		return nil, errors.New("billing: plans: text after the list")
	}
	if len(entries) == 0 {
		return nil, errors.New("billing: plans: none is sold")
	}
	p := &Plans{rank: map[string]int{}}
	for i, entry := range entries {
		plan, err := entry.plan()
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

func (e planEntry) plan() (*breakwaterv1.Plan, error) {
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
		Name:        namePrefix + e.ID,
		DisplayName: e.DisplayName,
		Description: e.Description,
		Price: &money.Money{
			CurrencyCode: currency,
			Units:        *e.PriceCents / 100,
			Nanos:        int32(*e.PriceCents%100) * 10_000_000,
		},
		Entitlements: ent,
	}, nil
}
