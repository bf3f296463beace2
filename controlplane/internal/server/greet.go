package server

import (
	"fmt"
	"io"
)

// greet says where the server listens and what to try.
func (s *Server) greet(out io.Writer) error {
	scheme := "http"
	if s.cfg.TLSCertFile != "" {
		scheme = "https"
	}
	base := scheme + "://" + s.HTTPAddr()
	text := fmt.Sprintf(`breakwaterd %s
  REST      %s/v1
  reference %s/docs
  gRPC      %s
  token     %s
`, Version(), base, base, s.GRPCAddr(), s.cfg.fileOr(s.cfg.OperatorTokenFile, "operator.token"))
	if s.cfg.Dev {
		text += fmt.Sprintf(`
Try, in another terminal:
  curl -H "Authorization: Bearer $(cat %s)" %s/v1/dataCenters
or take the tour in README.md.
`, s.cfg.path("operator.token"), base)
	}
	_, err := io.WriteString(out, text)
	return err
}
