# Made by `undercroft deploy render terraform-aws`: change [deploy] in undercroft.toml and render again.
# Values are made here, go straight to Secrets Manager, and are in no state and no plan. Raising secret_version makes them
# anew.

locals {
  generated = toset(["master-key", "encryption-key", "database-password", "database-url"])
  redis     = var.has_redis ? toset(["redis-url"]) : toset([])

  # Variable -> secret, for every container.
  secrets = merge(
    {
      UNDERCROFT_MASTER_KEY = aws_secretsmanager_secret.generated["master-key"].arn
      ENCRYPTION_KEY        = aws_secretsmanager_secret.generated["encryption-key"].arn
      DATABASE_URL          = aws_secretsmanager_secret.generated["database-url"].arn
    },
    { for key in local.redis : "REDIS_URL" => aws_secretsmanager_secret.generated[key].arn },
    { for variable, key in var.given_secrets : variable => aws_secretsmanager_secret.given[key].arn },
  )
}

resource "aws_secretsmanager_secret" "generated" {
  for_each = setunion(local.generated, local.redis)
  name     = "${var.name}/${each.key}"
}

# Yours to fill, before the first container starts (README.md).
resource "aws_secretsmanager_secret" "given" {
  for_each = toset(values(var.given_secrets))
  name     = "${var.name}/${each.key}"
}

ephemeral "random_password" "master_key" {
  length  = 43
  special = false
}

ephemeral "random_password" "encryption_key" {
  length  = 32
  special = false
}

ephemeral "random_password" "database" {
  length  = 40
  special = false
}

resource "aws_secretsmanager_secret_version" "master_key" {
  secret_id                = aws_secretsmanager_secret.generated["master-key"].id
  secret_string_wo         = ephemeral.random_password.master_key.result
  secret_string_wo_version = var.secret_version
}

# 32 bytes in URL-safe base64, which is what ENCRYPTION_KEY takes.
resource "aws_secretsmanager_secret_version" "encryption_key" {
  secret_id                = aws_secretsmanager_secret.generated["encryption-key"].id
  secret_string_wo         = replace(replace(base64encode(ephemeral.random_password.encryption_key.result), "+", "-"), "/", "_")
  secret_string_wo_version = var.secret_version
}

resource "aws_secretsmanager_secret_version" "database_password" {
  secret_id                = aws_secretsmanager_secret.generated["database-password"].id
  secret_string_wo         = ephemeral.random_password.database.result
  secret_string_wo_version = var.secret_version
}

# Read back, so that an apply that stopped in the middle goes on with the password that was written.
ephemeral "aws_secretsmanager_secret_version" "database_password" {
  secret_id = aws_secretsmanager_secret_version.database_password.secret_id
}

resource "aws_secretsmanager_secret_version" "database_url" {
  secret_id = aws_secretsmanager_secret.generated["database-url"].id
  secret_string_wo = format(
    "postgresql://%s:%s@%s/%s?sslmode=require",
    aws_db_instance.this.username,
    ephemeral.aws_secretsmanager_secret_version.database_password.secret_string,
    aws_db_instance.this.endpoint,
    aws_db_instance.this.db_name,
  )
  secret_string_wo_version = var.secret_version
}

resource "aws_secretsmanager_secret_version" "redis_url" {
  count                    = var.has_redis ? 1 : 0
  secret_id                = aws_secretsmanager_secret.generated["redis-url"].id
  secret_string_wo         = "rediss://${aws_elasticache_replication_group.this[0].primary_endpoint_address}:6379/0"
  secret_string_wo_version = var.secret_version
}
