# Creates the only homeserver of a sytest run: `run-tests.pl --server-implementation Gatehouse`.

package SyTest::HomeserverFactory::Gatehouse;

use strict;
use warnings;
use base qw( SyTest::HomeserverFactory );

use SyTest::Homeserver::Gatehouse;

sub implementation_name { 'gatehouse' }

sub create_server {
    my ( $self, %params ) = @_;
    die "only one Gatehouse server is supported: it has no federation\n" if $self->{created}++;
    return SyTest::Homeserver::Gatehouse->new(%params);
}

1;
