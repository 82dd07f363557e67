# Made by `undercroft deploy render terraform-aws`: change [deploy] in undercroft.toml and render again.
resource "aws_db_subnet_group" "this" {
  name       = var.name
  subnet_ids = aws_subnet.private[*].id
}

resource "aws_db_parameter_group" "this" {
  name   = "${var.name}-16"
  family = "postgres16"

  parameter {
    name  = "rds.force_ssl"
    value = "1"
  }

  lifecycle {
    create_before_destroy = true
  }
}

resource "aws_db_instance" "this" {
  identifier     = var.name
  engine         = "postgres"
  engine_version = "16"
  instance_class = var.database.class
  multi_az       = var.database.multi_az

  storage_type          = "gp3"
  allocated_storage     = var.database.storage_gib
  max_allocated_storage = var.database.max_storage_gib
  storage_encrypted     = true

  db_name             = "undercroft"
  username            = "undercroft"
  password_wo         = ephemeral.aws_secretsmanager_secret_version.database_password.secret_string
  password_wo_version = var.secret_version

  db_subnet_group_name   = aws_db_subnet_group.this.name
  parameter_group_name   = aws_db_parameter_group.this.name
  vpc_security_group_ids = [aws_security_group.store.id]
  publicly_accessible    = false

  backup_retention_period      = var.database.backup_days
  copy_tags_to_snapshot        = true
  performance_insights_enabled = true
  auto_minor_version_upgrade   = true

  # Whoever wants it gone has to say so twice.
  deletion_protection       = true
  skip_final_snapshot       = false
  final_snapshot_identifier = "${var.name}-final"
}

resource "aws_elasticache_subnet_group" "this" {
  count      = var.has_redis ? 1 : 0
  name       = var.name
  subnet_ids = aws_subnet.private[*].id
}

# What it holds may be lost: caches, leases, limits. Jobs are in PostgreSQL.
resource "aws_elasticache_replication_group" "this" {
  count                      = var.has_redis ? 1 : 0
  replication_group_id       = var.name
  description                = "What processes of ${var.name} share"
  engine                     = "valkey"
  engine_version             = "8.0"
  node_type                  = var.redis_node
  num_cache_clusters         = 2
  automatic_failover_enabled = true
  multi_az_enabled           = true
  subnet_group_name          = aws_elasticache_subnet_group.this[0].name
  security_group_ids         = [aws_security_group.store.id]
  transit_encryption_enabled = true
  at_rest_encryption_enabled = true
}
