package service

import (
	"google.golang.org/protobuf/proto"

	breakwaterv1 "github.com/breakwater-cdn/breakwater/api/breakwater/v1"
	"github.com/breakwater-cdn/breakwater/controlplane/internal/rpcerr"
)

// What the handlers check of what is to be created before they look at anything stored. The
// interceptors ask for it where rules of the protos are broken already.

// Check implements intercept.Checker.
func (s *Sites) Check(request proto.Message) error {
	req, ok := request.(*breakwaterv1.CreateSiteRequest)
	if !ok || req.GetSite() == nil {
		return nil
	}
	parent, err := siteParent(req.GetParent())
	if err != nil {
		return err
	}
	_, _, err = s.siteWanted(req.GetSite(), parent.Account)
	return err
}

// Check implements intercept.Checker.
func (s *Tokens) Check(request proto.Message) error {
	req, ok := request.(*breakwaterv1.CreateTokenRequest)
	if !ok || req.GetToken() == nil {
		return nil
	}
	_, err := s.wanted(req.GetToken())
	return err
}

// Check implements intercept.Checker.
func (s *Members) Check(request proto.Message) error {
	req, ok := request.(*breakwaterv1.CreateMemberRequest)
	if !ok || req.GetMember() == nil {
		return nil
	}
	_, err := memberWanted(req.GetMember())
	return err
}

// Check implements intercept.Checker.
func (s *DNS) Check(request proto.Message) error {
	req, ok := request.(*breakwaterv1.CreateDnsRecordRequest)
	if !ok || req.GetDnsRecord() == nil {
		return nil
	}
	name, err := siteName(req.GetParent())
	if err != nil {
		return err
	}
	_, broken := dnsPlain(req.GetDnsRecord()).Canonical(name.Site)
	if len(broken) == 0 {
		return nil
	}
	violations := make([]rpcerr.Violation, len(broken))
	for i, v := range broken {
		violations[i] = rpcerr.Violation{Field: v.Field, Rule: string(v.Rule), Message: v.Message}
	}
	return rpcerr.Invalid(violations...)
}
