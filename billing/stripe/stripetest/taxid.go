package stripetest

import (
	"regexp"
	"slices"
)

// taxID is a customer's tax ID (https://docs.stripe.com/api/customer_tax_ids).
type taxID struct {
	stamped
	customer, kind, value string
}

// taxForms are the forms of the kinds that are checked; other kinds are taken as they are.
var taxForms = map[string]*regexp.Regexp{
	"eu_vat": regexp.MustCompile(`^[A-Z]{2}[0-9A-Z]{8,12}$`),
	"gb_vat": regexp.MustCompile(`^(GB)?[0-9]{9}([0-9]{3})?$`),
	"us_ein": regexp.MustCompile(`^[0-9]{2}-?[0-9]{7}$`),
	"ch_vat": regexp.MustCompile(`^CHE-[0-9]{3}\.[0-9]{3}\.[0-9]{3} (MWST|TVA|IVA)$`),
}

func (t *taxID) view() object {
	return object{
		"id": t.id, "object": "tax_id", "created": t.created.Unix(), "customer": t.customer, "type": t.kind, "value": t.value,
		"country": nil, "livemode": false, "verification": object{"status": "unavailable", "verified_address": nil, "verified_name": nil},
	}
}

func (s *Server) taxIDsOf(c *customer) object {
	data := []object{}
	for _, t := range c.taxIDs {
		data = append(data, t.view())
	}
	return inner("/v1/customers/"+c.id+"/tax_ids", data)
}

func readTaxID(p *params) *taxID {
	t := &taxID{kind: p.need("type"), value: p.need("value")}
	if form := taxForms[t.kind]; form != nil && !form.MatchString(t.value) {
		p.fail("value", "tax_id_invalid", "Invalid value for "+t.kind+".")
	}
	return t
}

// readTaxIDs reads those that a new customer begins with.
func (c *call) readTaxIDs() []*taxID {
	var taxes []*taxID
	for _, p := range c.list("tax_id_data") {
		taxes = append(taxes, readTaxID(p))
	}
	return taxes
}

func (s *Server) addTaxID(c *customer, t *taxID) {
	t.stamped, t.customer = stamped{s.newID("txi"), s.at}, c.id
	c.taxIDs = append(c.taxIDs, t)
	s.emit("customer.tax_id.created", t.view())
}

func createTaxID(c *call) (object, error) {
	t := readTaxID(c.params)
	if err := c.end(); err != nil {
		return nil, err
	}
	cus, err := c.findCustomer(c.request.PathValue("id"), "id")
	if err != nil {
		return nil, err
	}
	c.addTaxID(cus, t)
	return t.view(), nil
}

func listTaxIDs(c *call) (object, error) {
	page := c.page()
	cus, err := c.findCustomer(c.request.PathValue("id"), "id")
	if err != nil {
		return nil, err
	}
	return list(c, page, slices.Clone(cus.taxIDs), (*taxID).view)
}

func deleteTaxID(c *call) (object, error) {
	if err := c.end(); err != nil {
		return nil, err
	}
	cus, err := c.findCustomer(c.request.PathValue("id"), "id")
	if err != nil {
		return nil, err
	}
	id := c.request.PathValue("tax")
	at := slices.IndexFunc(cus.taxIDs, func(t *taxID) bool { return t.id == id })
	if at < 0 {
		return nil, missing("tax_id", id, "id")
	}
	c.emit("customer.tax_id.deleted", cus.taxIDs[at].view())
	cus.taxIDs = slices.Delete(cus.taxIDs, at, at+1)
	return object{"id": id, "object": "tax_id", "deleted": true}, nil
}
