-- Rows as Bifrost writes them, for tests: what is secret begins with CANARY or is a key of that kind.
INSERT INTO config_providers (name, network_config_json, proxy_config_json, config_hash) VALUES
	('openai', '{"base_url":"http://127.0.0.1:1","extra_headers":{"x-api-key":"CANARY-extra-header-71"},"max_retries":0}', '{"type":"http","url":"http://proxy.example:3128","username":"u","password":"CANARY-proxy-password-72","ca_cert_pem":""}', 'hash-provider'),
	('azure', '', '', 'hash-azure');
INSERT INTO config_keys (name, provider_id, provider, key_id, value, models_json, config_hash, azure_client_secret, azure_endpoint) VALUES
	('plain', 1, 'openai', 'id-plain', 'sk-CANARY-openai-key-000001', '["*"]', 'hash-1', NULL, NULL),
	('whole', 1, 'openai', 'id-whole', 'vault.openai/key', '["*"]', 'hash-2', NULL, NULL),
	('azure', 2, 'azure', 'id-azure', 'vault.azure#key', '["*"]', 'hash-3', 'vault.azure#client', 'https://azure.example'),
	('variable', 1, 'openai', 'id-variable', 'env.OPENAI_KEY', '["*"]', 'hash-4', '', NULL),
	('masked', 1, 'openai', 'id-masked', 'sk-C************************0001', '["*"]', 'hash-5', NULL, NULL);
INSERT INTO config_keys (name, provider_id, provider, key_id, value, models_json, config_hash, encryption_status) VALUES
	('hidden', 1, 'openai', 'id-hidden', 'q83vEjRWeJASNFZ4kBI0VniQEjRWeJASNFZ4kBI0VniQEjRWeJA=', '["*"]', 'hash-6', 'encrypted'),
	('hidden-reference', 1, 'openai', 'id-hidden-reference', 'vault.openai/other', '["*"]', 'hash-7', 'encrypted');
INSERT INTO config_mcp_clients (client_id, name, connection_type, connection_string, headers_json, config_hash) VALUES
	('mcp-1', 'tools', 'http', 'http://127.0.0.1:1/mcp', '{"Authorization":"vault.mcp#a\u0026b","X-Plain":"CANARY-mcp-header-73","X-Var":"env.MCP_VAR"}', NULL);
INSERT INTO config_mcp_clients (client_id, name, connection_type, headers_json, encryption_status) VALUES
	('mcp-2', 'hidden', 'http', 'q83vEjRWeJASNFZ4kBI0VniQEjRWeJASNFZ4kBI0VniQEjRWeJA=', 'encrypted');
INSERT INTO governance_virtual_keys (id, name, value, value_hash) VALUES
	('vk-1', 'team', 'sk-bf-CANARY-virtual-key-74', 'x'), ('vk-2', 'refers', 'vault.virtual', 'y');
INSERT INTO config_plugins (name, enabled, config_json, version) VALUES ('mine', true, '{"api_key":"vault.plugin/key","n":{"token":"CANARY-plugin-token-75"}}', 1);
INSERT INTO governance_config (key, value) VALUES ('admin_username', 'admin'), ('admin_password', '$2a$10$t5ie33k6cnLP48gmjHsKrufinU9ATMF98PpsAcPKk49KrKzAMT5wy'), ('restart_required', '{"required":false}');
INSERT INTO oauth_configs (id, client_id, client_secret, code_verifier) VALUES ('oauth-1', 'cid', 'CANARY-client-secret-76', 'CANARY-verifier-77');
INSERT INTO sessions (token) VALUES ('CANARY-session-78'), ('CANARY-session-79');
