// A file of its own: the page's content security policy lets no script stand in it. `validatorUrl` would be a service
// on the internet, which is told the address of this one.
SwaggerUIBundle({
  url: "/api/openapi.json",
  dom_id: "#swagger-ui",
  validatorUrl: null,
  deepLinking: true,
  docExpansion: "none",
  filter: true,
  persistAuthorization: true,
  tryItOutEnabled: true,
});
